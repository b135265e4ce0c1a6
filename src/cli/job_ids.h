/* SPDX-License-Identifier: Apache-2.0
 *
 * job_ids: the job ids of a command line, and of standard input where "-" stands for it.
 *
 *     struct job_ids ids = {0};
 *     if (job_ids_read(&ids, operands, n, on_bad, me, &err) < 0) ...
 *     use(ids.list, ids.n);
 *     job_ids_release(&ids);
 */
#ifndef EGRESS_CLI_JOB_IDS_H
#define EGRESS_CLI_JOB_IDS_H

#include <stddef.h>

#include "core/err.h"

struct job_ids {
    char **list; /* owned; well-formed, each once, in the order given */
    size_t n, size;
    void *seen; /* search tree over list's strings */
};

/* Reads them all. What is no job id goes to bad(arg, err) and is left out. -1: standard input could
 * not be read. */
int job_ids_read(struct job_ids *ids, char *const *operands, int n,
                 void (*bad)(void *arg, const struct err *err), void *arg, struct err *err);
void job_ids_release(struct job_ids *ids);

#endif
