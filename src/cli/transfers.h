/* SPDX-License-Identifier: Apache-2.0
 *
 * transfers: a list of jobs transferred, as fetch and sync do it: the display, a line for each job
 * (or a JSON object), the counts. Main thread.
 *
 *     struct transfers t = {.ctx = ctx, .assembly = &assembly, .json = true};
 *     transfers_run(&t, ids, n);       from a signal: transfers_cancel(&t)
 *     printf("%zu stored\n", t.stored);
 *     return t.status;
 */
#ifndef EGRESS_CLI_TRANSFERS_H
#define EGRESS_CLI_TRANSFERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "assemble/assemble.h"
#include "cli/cli.h"
#include "core/buf.h"

struct transfers_run;

struct transfers {
    const struct command_context *ctx; /* borrowed, as what follows */
    struct assembly *assembly;
    bool json;
    struct transfers_run *run; /* NULL: none is under way */
    /* What came of it; a caller may count failures of its own before. */
    size_t stored, already, failed;
    uint64_t bytes;
    int status; /* exit status */
};

/* Runs the loop until all of them (well-formed ids, each once) have ended. */
void transfers_run(struct transfers *t, char *const *ids, size_t n);
/* Asks what is under way to end. Nothing under way is fine. */
void transfers_cancel(struct transfers *t);

/* A failure that came to no transfer: counted in `failed` and `status`. */
void transfers_count_failure(struct transfers *t, const struct err *err);

/* Logs the failure of a job, unless we ended it ourselves. */
void transfers_log_failure(const char *job, const struct err *err);
/* Appends `,"status":"failed",...` as it stands in each JSON object of a failure. */
void transfers_append_failure(struct buf *line, const struct err *err);

/* "1.5 GiB in 12.3 s (125.0 MiB/s)"; out is for printf. */
enum { TRANSFERS_RATE_SIZE = 96 };
const char *transfers_rate(uint64_t bytes, int64_t elapsed_ms, char out[TRANSFERS_RATE_SIZE]);

#endif
