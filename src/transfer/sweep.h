/* SPDX-License-Identifier: Apache-2.0
 *
 * sweep: undoes uploads that were begun under our keys and that nobody will finish.
 *
 * A killed run leaves its upload open, not visible but billed. A later run of the same job goes on
 * with it; where none comes, this finds it: by its age, and by a key that the template can make.
 * Loop's thread.
 *
 *     struct sweep_config config = {.sink = sink, .key_template = "{job_id}/{filename}",
 *                                   .older_than_ms = 7 * DAY, .on_upload = f, .on_end = g};
 *     struct sweep *sweep = sweep_start(loop, &config);
 *     loop_run(loop);            on_end calls loop_stop()
 *     sweep_free(sweep);
 */
#ifndef EGRESS_TRANSFER_SWEEP_H
#define EGRESS_TRANSFER_SWEEP_H

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"
#include "net/loop.h"
#include "transfer/sink.h"

struct sweep;

enum sweep_status {
    SWEEP_FOUND, /* dry run: would be undone */
    SWEEP_UNDONE,
    SWEEP_FAILED,
    SWEEP_YOUNGER, /* perhaps still under way */
    SWEEP_FOREIGN, /* its key is none that the template makes */
};

struct sweep_result { /* valid during the call */
    const char *key;
    const char *id;     /* the store's name of the upload */
    int64_t started_ms; /* Unix time */
    enum sweep_status status;
    const struct err *err; /* of SWEEP_FAILED, else NULL */
};

struct sweep_config { /* borrowed: outlives the sweep */
    struct sink *sink;
    const char *key_template; /* checked (key.h) */
    int64_t older_than_ms;
    bool dry_run;
    void (*on_upload)(void *arg, const struct sweep_result *result);
    /* Once, when nothing is under way any more. err: the uploads could not be listed, or it was
     * cancelled. */
    void (*on_end)(void *arg, const struct err *err);
    void *arg;
};

struct sweep *sweep_start(struct loop *loop, const struct sweep_config *config);
void sweep_cancel(struct sweep *sweep);
void sweep_free(struct sweep *sweep); /* after on_end; NULL is fine */

#endif
