/* SPDX-License-Identifier: Apache-2.0
 *
 * text: small things about characters: UTF-8, quoting, numbers with units. Any thread.
 */
#ifndef EGRESS_CORE_TEXT_H
#define EGRESS_CORE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/buf.h"

/* Length in bytes of the valid UTF-8 character at s (s < end), or 0 when it is none. */
size_t text_utf8_len(const char *s, const char *end);
bool text_is_utf8(const char *s, size_t len);

/* Replaces control characters and what is not UTF-8 by '?', in place. */
void text_make_printable(char *s);

/* Appends s as a JSON string with its quotes; what is not UTF-8 becomes U+FFFD. */
void text_json_quote(struct buf *b, const char *s);

/* "64MiB", "20G", "1.5M", "512": binary units whatever the spelling. 0 or -1. */
int text_parse_size(const char *s, uint64_t *bytes);
/* "90", "90s", "10m", "2h", "7d" -> milliseconds. A plain number is seconds. 0 or -1. */
int text_parse_duration(const char *s, int64_t *ms);
/* "1.5 GiB". out holds TEXT_SIZE_MAX bytes; returned for use in an argument list. */
enum { TEXT_SIZE_MAX = 32 };
const char *text_format_size(uint64_t bytes, char out[TEXT_SIZE_MAX]);

/* Whole decimal number in [min, max], nothing around it. 0 or -1. */
int text_parse_int(const char *s, int64_t min, int64_t max, int64_t *value);

void text_hex(const unsigned char *data, size_t len, char *out); /* out: 2 * len + 1 */
/* Standard base64 with padding; out holds 4 * ((len + 2) / 3) + 1. */
void text_base64(const unsigned char *data, size_t len, char *out);
/* Strict (canonical padding, no white space). Bytes written to out (room for 3 * len / 4), or -1.
 */
int text_unbase64(const char *s, size_t len, unsigned char *out);

#endif
