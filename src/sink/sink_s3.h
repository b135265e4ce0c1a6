/* SPDX-License-Identifier: Apache-2.0
 *
 * sink_s3: stores outputs in an S3 bucket; implements transfer/sink.h over aws/s3.h.
 *
 * An object's key is PREFIX/key. Whose it is stands in its metadata (x-amz-meta-egress-source,
 * -job, -output), with a random -attempt by which our own object is known when the store's answer
 * was lost and the repetition is refused.
 *
 *     struct s3_config config = {.bucket = "b", .prefix = "outputs", .credentials = creds};
 *     struct sink *sink = sink_s3_new(loop, &config, &err);
 *     sink->ops->stat(sink, "1/output.json", &stat, on_done, me);
 *     loop_run(loop);
 *     sink->ops->free(sink);
 *
 * A key is taken only if it is free, and an object replaced only if it is the one that was seen: by
 * If-None-Match and If-Match. Before the end of a multipart upload, where some stores ignore them
 * (Ceph), the key is looked at as well; with no_conditions that look is all, before each put too:
 * of two writers within its round trip, the later one wins.
 *
 * Cancelling `begin` waits up to five seconds for the store's answer first: an upload that was made
 * and is not known could not be aborted. It then ends well, and the caller aborts the upload.
 */
#ifndef EGRESS_SINK_SINK_S3_H
#define EGRESS_SINK_SINK_S3_H

#include "aws/s3.h"
#include "core/err.h"
#include "net/loop.h"
#include "transfer/sink.h"

/* The config is copied. NULL (ERR_USAGE) when bucket, prefix, region or endpoint cannot be. */
struct sink *sink_s3_new(struct loop *loop, const struct s3_config *config, struct err *err);

#endif
