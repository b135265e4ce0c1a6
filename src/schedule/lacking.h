/* SPDX-License-Identifier: Apache-2.0
 *
 * lacking: which of many jobs have no receipt, from the list of all receipts: a thousand for the
 * price of asking for one. While it is fetched, and where there are many times more receipts than
 * jobs, nothing is known, and each job's receipt is asked for. Loop's thread.
 *
 *     struct lacking *lacking = lacking_start(&config);
 *     if (lacking_knows(lacking, id))        id has no receipt
 *         transfer_has_no_receipt(transfer);
 *     lacking_free(lacking);                 after on_end
 */
#ifndef EGRESS_SCHEDULE_LACKING_H
#define EGRESS_SCHEDULE_LACKING_H

#include <stdbool.h>
#include <stddef.h>

#include "net/loop.h"
#include "transfer/sink.h"

struct lacking;

enum {
    LACKING_JOBS_MIN = 100,       /* beyond those begun at once; fewer are asked for */
    LACKING_KEYS_PER_JOB = 5,     /* the list is given up when it is longer than that */
    LACKING_VALID_MS = 15 * 1000, /* since its beginning: others store, too */
};

struct lacking_config {
    struct loop *loop;
    struct sink *sink;
    const char *source; /* its name, in keys */
    char *const *ids;   /* n of them, each once; all borrowed: they outlive it */
    size_t n;
    void (*on_end)(void *arg); /* once, from the loop: the list is not fetched any more */
    void *arg;
};

struct lacking *lacking_start(const struct lacking_config *config);
bool lacking_knows(const struct lacking *lacking, const char *id);
void lacking_cancel(struct lacking *lacking); /* after on_end it is fine, too */
void lacking_free(struct lacking *lacking);   /* after on_end; NULL is fine */

#endif
