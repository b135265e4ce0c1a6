/* SPDX-License-Identifier: Apache-2.0
 *
 * ini: the file format of ~/.aws/config and ~/.aws/credentials.
 *
 * As the AWS CLI reads it: `[section]` lines, `key = value` lines (or `:`), one level of nested
 * keys (indented lines under a key that has no value), indented lines that continue a value,
 * comments (`#` or `;` at the start of a line, or in a value after a blank). Keys are lower-cased.
 * A section or key that comes again adds to, or replaces, what was there. Everything is wiped when
 * freed: these files hold secrets. Owned by one thread at a time.
 *
 *     struct ini *ini;
 *     if (ini_load(path, &ini, &err) < 0) ...
 *     const char *region = ini_get(ini, "profile x", NULL, "region", NULL);
 *     const char *style = ini_get(ini, "profile x", "s3", "addressing_style", NULL);
 *     ini_free(ini);
 */
#ifndef EGRESS_AWS_INI_H
#define EGRESS_AWS_INI_H

#include <stdbool.h>
#include <stddef.h>

#include "core/err.h"

enum {
    INI_SIZE_MAX = 1024 * 1024, /* of a file */
    INI_LINE_MAX = 16 * 1024,   /* of a line; session tokens are the longest thing in there */
};

struct ini; /* opaque */

/* Reads a file. One that does not exist gives 0 and *out NULL. -1 (ERR_CONFIG): it is no readable
 * file, too large, binary, or malformed; the message names file and line, never what is in it. */
int ini_load(const char *path, struct ini **out, struct err *err);

/* Parses a text (copied); `path` stands in messages. NULL on failure. */
struct ini *ini_parse(const char *path, const char *text, size_t len, struct err *err);

void ini_free(struct ini *ini); /* NULL is fine */

/* The functions below take a NULL ini as an empty one.
 * Section names are compared exactly, with one blank after their first word and no quotes around
 * the rest: `[profile  "a b"]` is "profile a b". */
bool ini_has(const struct ini *ini, const char *section);

/* Value of a key, under the key `parent` if that is not NULL; NULL when there is none. Borrowed
 * from ini. *line (if not NULL) gets the number of its line. */
const char *ini_get(const struct ini *ini, const char *section, const char *parent, const char *key,
                    unsigned *line);

#endif
