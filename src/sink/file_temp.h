/* SPDX-License-Identifier: Apache-2.0
 *
 * file_temp: an object in the making, a locked file in DIR/.egress/tmp/, and how it becomes visible
 * under its key: all at once, by link(2) or rename(2) on the same file system.
 *
 * The lock (flock, held as long as the file is open) tells a file that is being written from one
 * that a crash has left: the next process removes those that nobody holds. All of it blocks: helper
 * threads only, one at a time for the same temporary file except file_temp_write.
 *
 *     struct file_temp temp = FILE_TEMP_INIT;
 *     file_temp_create(root, &temp, &err);
 *     file_temp_write(&temp, root, data, len, 0, &err);
 *     if (file_temp_publish(root, &temp, object, &cancelled, etag, &err) < 0)
 *         file_temp_drop(root, &temp, &err);
 */
#ifndef EGRESS_SINK_FILE_TEMP_H
#define EGRESS_SINK_FILE_TEMP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "core/err.h"
#include "transfer/sink.h"

struct file_temp {
    int fd; /* -1: there is none */
    char name[128];
};

#define FILE_TEMP_INIT ((struct file_temp){.fd = -1})

enum { FILE_ETAG_SIZE = 128 };

/* Makes the destination (its last component) and DIR/.egress/tmp when missing. 0 or -1. */
int file_temp_create(const char *root, struct file_temp *temp, struct err *err);

/* Writes all of it at that offset; several threads may at once. A full disk is told with the
 * directory, the space wanted and the space there is. */
int file_temp_write(const struct file_temp *temp, const char *root, const void *data, size_t len,
                    uint64_t offset, struct err *err);

/* Syncs, makes visible as the object's condition says, syncs the directories. 0: temp is gone and
 * etag is set; also when SINK_IF_ABSENT found the very same bytes under the key. -1: temp is as it
 * was (ERR_EXISTS: see sink.h; ERR_CANCELLED: *cancelled became true before it was visible). */
int file_temp_publish(const char *root, struct file_temp *temp, const struct sink_object *object,
                      const atomic_bool *cancelled, char etag[FILE_ETAG_SIZE], struct err *err);

/* Removes it. 0 also when there was none; -1 when it could not be removed, and is closed anyway. */
int file_temp_drop(const char *root, struct file_temp *temp, struct err *err);

/* Removes what crashed processes have left: files that nobody holds, of other hosts only when they
 * are a day old (not every network file system passes locks on). Looks at some thousand at most. */
void file_temp_sweep(const char *root);

/* Size, time of change and inode: another object, another etag. */
void file_etag(const struct stat *st, char etag[FILE_ETAG_SIZE]);

#endif
