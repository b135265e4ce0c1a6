/* SPDX-License-Identifier: Apache-2.0
 *
 * file_list: a walk over the keys below a destination, some at a time, with memory for one path and
 * one descriptor per level. Blocks: helper threads only, one at a time.
 *
 *     struct file_list *list = file_list_new(root, prefix);
 *     do {
 *         failed = file_list_next(list, &keys, &more, &err);    keys: "a/b\0c\0"
 *     } while (failed == 0 && more);
 *     file_list_free(list);
 */
#ifndef EGRESS_SINK_FILE_LIST_H
#define EGRESS_SINK_FILE_LIST_H

#include <stdbool.h>

#include "core/buf.h"
#include "core/err.h"

struct file_list;

/* Both strings are copied. Touches no disk. */
struct file_list *file_list_new(const char *root, const char *prefix);

/* Appends the next keys, each with its NUL, and says whether there may be more: so many that the
 * call takes little time, perhaps none. Files only, symbolic links are not followed, names that no
 * key can have are passed over, and our own folder unless the prefix begins with its name.
 * A destination or a folder that does not exist has no keys. 0 or -1. */
int file_list_next(struct file_list *list, struct buf *keys, bool *more, struct err *err);

void file_list_free(struct file_list *list); /* NULL is fine */

#endif
