/* SPDX-License-Identifier: Apache-2.0
 *
 * sink_file: a directory as a place for outputs (transfer/sink.h). An object is a file whose path
 * below the directory is its key.
 *
 * An object in the making is a locked file in DIR/.egress/tmp/, which is linked or renamed to its
 * key when all of it is on the disk: nobody sees a part of it, and after a crash nothing of it is
 * visible. The first object that is begun removes what crashed processes have left there.
 *
 * The file system is touched by helper threads only, so that a slow disk or a hanging network mount
 * does not stop the loop. All functions: the loop's thread.
 *
 *     struct sink *sink = sink_file_new(loop, "/srv/outputs", &err);
 *     sink->ops->put(sink, &object, data, len, crc, etag, on_stored, me);
 *     ... loop_run(loop) ...
 *     sink->ops->free(sink);
 */
#ifndef EGRESS_SINK_SINK_FILE_H
#define EGRESS_SINK_SINK_FILE_H

#include "core/err.h"
#include "net/loop.h"
#include "transfer/sink.h"

/* `directory` is absolute or relative to the current one; a missing one is made when the first
 * object is stored, the directory above it must be there. Looks at it once, here and now, before
 * the loop runs. NULL (ERR_DESTINATION) when it is no directory and cannot become one. */
struct sink *sink_file_new(struct loop *loop, const char *directory, struct err *err);

#endif
