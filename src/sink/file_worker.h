/* SPDX-License-Identifier: Apache-2.0
 *
 * file_worker: a few helper threads that do what would block the loop, in the order of arrival.
 *
 * A job carries all it needs: the helper and the loop never look at it at the same time, and the
 * queue is the only thing they share. Signals are blocked in the helpers (they are the loop's), so
 * a write over RLIMIT_FSIZE fails with EFBIG instead of ending the process.
 *
 *     struct file_workers *workers = file_workers_new(loop, 4, &err);
 *     file_workers_submit(workers, &me->job, read_block, on_block, me);
 *     ... on_block(me) has been called on the loop ...
 *     file_workers_free(workers);
 */
#ifndef EGRESS_SINK_FILE_WORKER_H
#define EGRESS_SINK_FILE_WORKER_H

#include "core/err.h"
#include "net/loop.h"

struct file_workers;

struct file_job { /* embedded in the caller's struct */
    void (*run)(void *arg);
    void (*done)(void *arg);
    void *arg;
    struct file_job *next;
    struct loop_task task;
};

/* NULL (ERR_IO) when the threads cannot be started. All functions: the loop's thread. */
struct file_workers *file_workers_new(struct loop *loop, unsigned threads, struct err *err);

/* run(arg) is called on a helper, then done(arg) once on the loop, never from inside this call.
 * From then on the job is the caller's again: done may submit it anew or free it. */
void file_workers_submit(struct file_workers *workers, struct file_job *job, void (*run)(void *arg),
                         void (*done)(void *arg), void *arg);

/* Ends and joins the threads. Every job must have come to its done. NULL is fine. */
void file_workers_free(struct file_workers *workers);

#endif
