/* SPDX-License-Identifier: Apache-2.0
 *
 * verify: compares what a sink holds with its receipts, several at a time. Changes nothing.
 * Loop's thread.
 *
 *     struct verify_config config = {.sink = sink, .source = "voxel51", .concurrency = 16,
 *                                    .on_object = on_object, .on_end = on_end};
 *     struct verify *v = verify_start(loop, &config);
 *     loop_run(loop);            on_end calls loop_stop()
 *     verify_free(v);
 */
#ifndef EGRESS_TRANSFER_VERIFY_H
#define EGRESS_TRANSFER_VERIFY_H

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"
#include "net/loop.h"
#include "transfer/sink.h"

struct verify;

enum verify_status {
    VERIFY_OK,
    VERIFY_MISSING,   /* its owner may have moved it: the receipt keeps it from coming back */
    VERIFY_DIFFERENT, /* another size, or other bytes */
    VERIFY_UNKNOWN,   /* could not be read; or the receipt could not */
};

struct verify_result { /* valid during the call */
    const char *job;
    const char *key; /* "" when the receipt itself is unreadable */
    enum verify_status status;
    uint64_t size;         /* bytes that were there */
    bool compared;         /* the bytes themselves, not just size and the store's checksum */
    const char *message;   /* what is wrong, "" when nothing is */
    const struct err *err; /* of VERIFY_UNKNOWN, else NULL */
};

struct verify_config { /* borrowed: outlives the verify */
    struct sink *sink;
    const char *source; /* whose receipts */
    unsigned concurrency;
    bool quick; /* sizes and the store's checksums only; else every byte is read */
    void (*on_object)(void *arg, const struct verify_result *result);
    /* Once, when nothing is under way any more. err: the receipts could not be listed, or it was
     * cancelled. */
    void (*on_end)(void *arg, const struct err *err);
    void *arg;
};

struct verify *verify_start(struct loop *loop, const struct verify_config *config);
void verify_cancel(struct verify *v);
/* How far it is: bytes read so far; objects are counted by on_object. */
uint64_t verify_bytes(const struct verify *v);
size_t verify_receipts(const struct verify *v); /* found so far */
void verify_free(struct verify *v);             /* after on_end; NULL is fine */

#endif
