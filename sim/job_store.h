/* SPDX-License-Identifier: Apache-2.0
 *
 * job_store: the memory behind jobs: one array that never moves, and a table from ids to places in
 * it. For jobs.c and job_store.c only; jobs_*() of set-up (jobs.h) are written in job_store.c.
 */
#ifndef EGRESS_SIM_JOB_STORE_H
#define EGRESS_SIM_JOB_STORE_H

#include <pthread.h>
#include <stdatomic.h>

#include "jobs.h"

struct jobs {
    const struct switches *sw; /* borrowed */
    uint64_t seed;
    int64_t born_ms;
    size_t n_max;

    pthread_mutex_t lock; /* guards what follows */
    atomic_size_t n;
    struct job *all;          /* owned; n_max */
    char (*uuids)[UUID_SIZE]; /* owned; ids of generated and uploaded jobs, by index */
    uint32_t *table;          /* owned; open addressing, index + 1 or 0 */
    size_t table_size;        /* a power of two above n_max * 2 */

    void (*on_due)(void *arg, uint32_t index, int64_t due_ms);
    void *on_due_arg;
};

/* Index, or -1. Lock held. */
int64_t job_store_find(const struct jobs *jobs, const char *id);

#endif
