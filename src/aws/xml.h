/* SPDX-License-Identifier: Apache-2.0
 *
 * xml: reads the small XML documents that S3 and its kin answer with, element by element.
 *
 * Refused: document type declarations (so there are no entities but the five predefined ones, and
 * nothing to expand), documents over XML_SIZE_MAX, nesting over XML_DEPTH_MAX, names that are
 * absurdly long. Namespace prefixes are dropped. Pure; any thread.
 *
 *     static void each(void *arg, const char *path, const char *text)
 *     {
 *         if (strcmp(path, "Error/Code") == 0) ...
 *     }
 *     if (xml_read(body, body_len, each, me, &err) < 0) ...
 */
#ifndef EGRESS_AWS_XML_H
#define EGRESS_AWS_XML_H

#include <stddef.h>

#include "core/buf.h"
#include "core/err.h"

enum {
    /* A listing's page: 1,000 keys of 1,024 bytes, each byte percent-encoded, and what is around
     * them. */
    XML_SIZE_MAX = 8 * 1024 * 1024,
    XML_DEPTH_MAX = 32,
};

/* Called at the end of every element, children before their parent. `path` has the names from the
 * root down ("ListBucketResult/Contents/Key"); `text` is what the element holds, without mark-up
 * and as written (white space too); of an element with children: what follows the last of them.
 * Both are valid during the call. */
typedef void xml_element_fn(void *arg, const char *path, const char *text);

/* 0, or -1 (ERR_PROTOCOL, "line L: why") when it is not well-formed or is refused; `each` may have
 * been called by then. */
int xml_read(const char *doc, size_t len, xml_element_fn *each, void *arg, struct err *err);

/* Appends s as character data: & < > " and ' escaped. */
void xml_escape(struct buf *out, const char *s);

#endif
