/* SPDX-License-Identifier: Apache-2.0
 *
 * receipt_io: receipts carried to and from a sink. Loop's thread.
 *
 *     struct receipt_io *io = receipt_read(sink, "voxel51", job, &receipt, on_read, me);
 */
#ifndef EGRESS_TRANSFER_RECEIPT_IO_H
#define EGRESS_TRANSFER_RECEIPT_IO_H

#include "transfer/receipt.h"
#include "transfer/sink.h"

struct receipt_io; /* one reading or writing under way; gone at its completion */

/* *out (zeroed by the caller, who releases it) is filled at completion. ERR_NOT_FOUND: there is
 * none. ERR_INPUT: there is one that is none. */
struct receipt_io *receipt_read(struct sink *sink, const char *source, const char *job,
                                struct receipt *out, sink_done_fn *done, void *arg);

/* The receipt is borrowed during the call only. etag (may be NULL) gets the store's tag of it.
 * marked: a marker (receipt.h) belongs with it. One in state uploading has it put there first if
 * it is not yet; one in state stored has it removed afterwards. */
struct receipt_io *receipt_write(struct sink *sink, const struct receipt *receipt, bool marked,
                                 char etag[128], sink_done_fn *done, void *arg);

/* Takes back the one that was written last with that etag; sinks with `remove` only. The marker
 * stays: another process may be about to write a receipt that needs it. */
struct receipt_io *receipt_remove(struct sink *sink, const char *source, const char *job,
                                  const char *etag, sink_done_fn *done, void *arg);

/* The completion still comes. */
void receipt_io_cancel(struct receipt_io *io);

#endif
