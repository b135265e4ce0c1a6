/* SPDX-License-Identifier: Apache-2.0
 *
 * key: under which key an output is stored: a template with {job_id} {filename} {name} {date}.
 *
 * The literal text of a template is the user's and kept as it is; what a placeholder brings in is a
 * stranger's and made one safe component of a path. What a directory cannot hold (a leading '/',
 * "..") the directory sink refuses. Pure. Any thread.
 *
 *     if (key_template_check("{date}/{job_id}/{filename}", &err) < 0) ...
 *     struct buf key = BUF_INIT(KEY_MAX);
 *     if (key_expand(template, job, 0, &key, &err) == 0)
 *         put(buf_str(&key));
 *     buf_release(&key);
 */
#ifndef EGRESS_TRANSFER_KEY_H
#define EGRESS_TRANSFER_KEY_H

#include <stdbool.h>
#include <stddef.h>

#include "core/buf.h"
#include "core/err.h"
#include "transfer/source.h"

enum {
    KEY_MAX = 1024,          /* bytes of UTF-8; S3's limit, prefix included */
    KEY_COMPONENT_MAX = 255, /* bytes; NAME_MAX of the usual file systems */
};

#define KEY_RESERVED ".egress/" /* where receipts live */

/* -1 (ERR_USAGE): names the template, what is wrong with it and what was expected. */
int key_template_check(const char *template, struct err *err) MUST_CHECK;

/* Appends the key of output number `index` (0-based) of a job; the template has been checked.
 * -1 (ERR_INPUT): the key would be longer than KEY_MAX (or out's cap), or reserved. */
int key_expand(const char *template, const struct source_job *job, size_t index, struct buf *out,
               struct err *err) MUST_CHECK;

/* Whether a key can have come out of the template. */
bool key_matches(const char *template, const char *key);

/* Appends the last component of a file name as a source sent it, without control characters, what
 * is not UTF-8, and dots and spaces at both ends; cut to KEY_COMPONENT_MAX bytes with its extension
 * kept; "output" when nothing is left. Never "", "." or "..", never with a '/' or '\'. */
void key_safe_filename(const char *name, struct buf *out);

/* Whether a key has a control character: no template makes such a one. */
bool key_has_control(const char *key);

/* Whether a key lies where receipts live, written in any case and behind any leading slashes. */
bool key_is_reserved(const char *key);

#endif
