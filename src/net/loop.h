/* SPDX-License-Identifier: Apache-2.0
 *
 * loop: one thread that waits for network, timers, posted work and signals, and calls back.
 *
 * Owns the curl_multi of all HTTP exchanges started on it (net/http.h). Everything here is called
 * on the loop's own thread, except loop_post(). Callbacks run from loop_run(), never from inside
 * the function that arranged them.
 *
 *     struct loop *loop = loop_new(&err);
 *     start_something(loop, on_done_calls_loop_stop);
 *     loop_run(loop);
 *     loop_free(loop);
 */
#ifndef EGRESS_NET_LOOP_H
#define EGRESS_NET_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"

struct loop;

/* NULL on failure. One per thread. */
struct loop *loop_new(struct err *err);
/* Everything started on the loop must have ended, and the threads that post to it. NULL is fine. */
void loop_free(struct loop *loop);

/* Runs until loop_stop() is called from a callback. May be called again. */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);

/* ---- timers: embedded in the caller's struct, which outlives them ---- */

struct loop_timer {
    void (*fn)(void *arg);
    void *arg;
    int64_t due_ms;          /* of clock_mono_ms() */
    struct loop_timer *next; /* list of the loop, soonest first */
    bool armed;
};

/* Arms the timer; an armed one is moved. fn is called once. */
void loop_timer_start(struct loop *loop, struct loop_timer *timer, int64_t delay_ms,
                      void (*fn)(void *arg), void *arg);
/* After it fn is not called any more. A timer that is not armed is fine. */
void loop_timer_stop(struct loop *loop, struct loop_timer *timer);

/* ---- tasks: embedded in the caller's struct ---- */

struct loop_task {
    void (*fn)(void *arg);
    void *arg;
    struct loop_task *next;
};

/* fn(arg) is called once on the loop's thread, in the order of posting. Any thread. The task must
 * not be posted again before it was called, and its memory is the caller's from the call on. */
void loop_post(struct loop *loop, struct loop_task *task, void (*fn)(void *arg), void *arg);

/* ---- signals ---- */

/* fn(arg, signo) is called on the loop for each SIGINT and SIGTERM from now on. One loop of the
 * process at a time. NULL gives the signals back their default action. */
int loop_on_signal(struct loop *loop, void (*fn)(void *arg, int signo), void *arg, struct err *err);
/* From now on fn is called for this one (SIGHUP), too. After loop_on_signal() with a fn. */
void loop_add_signal(struct loop *loop, int signo);

#endif
