/* SPDX-License-Identifier: Apache-2.0
 *
 * url: percent-encoding, and URLs taken apart. Any thread.
 */
#ifndef EGRESS_NET_URL_H
#define EGRESS_NET_URL_H

#include <stdbool.h>
#include <stddef.h>

#include "core/buf.h"
#include "core/err.h"

/* Appends s with everything but A-Z a-z 0-9 - . _ ~ as %XX (RFC 3986 unreserved, capitals: what
 * AWS signatures want). keep_slash leaves '/' as it is. */
void url_encode(struct buf *out, const char *s, size_t len, bool keep_slash);

/* Decodes %XX. -1 when a '%' is not followed by two digits. '+' stays '+'. */
int url_decode(struct buf *out, const char *s, size_t len);

struct url {
    char scheme[8]; /* "http" or "https" */
    char host[256]; /* lower case; an IPv6 address in its brackets */
    unsigned port;  /* never 0: the scheme's default is filled in */
    bool default_port;
    char *path;  /* owned; as written, "/" at least */
    char *query; /* owned; as written, without '?'; NULL when there is none */
};

/* http and https only; user info and fragments are refused. 0 or -1 (ERR_INPUT, names the text). */
int url_parse(const char *text, struct url *url, struct err *err);
void url_release(struct url *url);

/* "host" or "host:port", as the Host header has it. */
void url_host_header(const struct url *url, struct buf *out);

/* Same scheme, host and port. */
bool url_same_origin(const struct url *a, const struct url *b);

/* Whether the host is written as a loopback or link-local address (AWS's fd00:ec2::/32 is taken for
 * one), or is "localhost". */
bool url_is_local(const struct url *url);

#endif
