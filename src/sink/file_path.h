/* SPDX-License-Identifier: Apache-2.0
 *
 * file_path: from a key to the open directory that holds it, without ever leaving the destination.
 *
 * The destination itself may be a symbolic link; below it every component is opened on its own and
 * none may be one. These functions block: helper threads only (file_key_check: any thread).
 *
 *     if (file_key_check(root, key, &err) == 0)
 *         dir = file_parent_open(root, key, false, &err);
 *     openat(dir, file_key_name(key), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
 */
#ifndef EGRESS_SINK_FILE_PATH_H
#define EGRESS_SINK_FILE_PATH_H

#include <stdbool.h>
#include <stddef.h>

#include "core/err.h"

/* Our own folder in a destination; its tmp/ holds objects in the making. */
#define FILE_OWN_DIR   ".egress"
#define FILE_TEMP_NAME "tmp"
#define FILE_TEMP_DIR  FILE_OWN_DIR "/" FILE_TEMP_NAME

/* So that a walk over all keys needs few descriptors. */
enum { FILE_KEY_DEPTH_MAX = 128 };

/* Whether this can be a component of a key: UTF-8 without control characters or '/', 1 to 255 bytes
 * (NAME_MAX of the usual file systems), neither "." nor "..". */
bool file_component_ok(const char *name, size_t len);

/* 0, or -1 (ERR_INPUT) with what is wrong. `root` is absolute; the whole path must fit PATH_MAX. */
int file_key_check(const char *root, const char *key, struct err *err);

/* The last component. */
const char *file_key_name(const char *key);

/* Opens the destination; with `create` makes its last component when it is missing, and syncs the
 * directory above. A descriptor, or -1 (ERR_NOT_FOUND: not there; else see file_fail). */
int file_root_open(const char *root, bool create, struct err *err);

/* Opens the directory `name` in dir_fd, which is not followed when it is a symbolic link
 * (ERR_INPUT). With `create` it is made with this mode when it is missing. `root` and `key` are for
 * messages. A descriptor, or -1 (ERR_NOT_FOUND: not there; ERR_CONFLICT: it is a file). */
int file_dir_open(int dir_fd, const char *name, bool create, const char *root, const char *key,
                  struct err *err);

/* Opens the directory that holds a checked key. With `create` makes what is missing and syncs every
 * directory on the way but the last: one that another writer made a moment ago may not be on the
 * disk yet. A descriptor, or -1 as file_dir_open. */
int file_parent_open(const char *root, const char *key, bool create, struct err *err);

/* fsync of a directory; 0 also where the file system has no such thing. -1 with errno. */
int file_dir_sync(int fd);

/* Sets err from errnum, with its text and a remedy after the message: ERR_DESTINATION for what the
 * user has to set right (rights, read-only), ERR_IO otherwise. Returns -1. */
int file_fail(struct err *err, int errnum, const char *fmt, ...) PRINTF_LIKE(3, 4);

#endif
