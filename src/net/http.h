/* SPDX-License-Identifier: Apache-2.0
 *
 * http: one HTTP exchange as a start and exactly one completion, on a loop.
 *
 * What it takes care of: connection reuse, TLS (always verified), proxies by environment,
 * time-outs, redirects (bounded; see below), retries of what can be sent again, caps on headers and
 * bodies; requests to an origin that says there are too many wait
 * for their turn, which counts for no time-out (net/origin.h). What it does not know: S3, the
 * Platform, signatures (a `prepare` hook adds those to each attempt).
 *
 * Redirects are followed for GET and HEAD only when HTTP_FOLLOW is set: 5 at most, none from https
 * to http, none to a loopback or link-local address unless the first URL was one (judged by the
 * address on the socket, or by the URL alone where a proxy stands between); headers marked
 * `origin_only` are left out as soon as scheme, host or port differ from the first URL's.
 *
 * All functions: the loop's thread. All callbacks: from loop_run(), never from inside a call here.
 *
 *     struct http_request rq = {.method = "GET", .url = url, .max_body = 64 * 1024};
 *     http_start(loop, &rq, &(struct http_events){.on_done = on_done}, me);
 */
#ifndef EGRESS_NET_HTTP_H
#define EGRESS_NET_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "net/loop.h"

struct http_call; /* one exchange in progress; gone when on_done returns */

enum http_flags {
    HTTP_FOLLOW = 1 << 0,   /* follow redirects */
    HTTP_NO_RETRY = 1 << 1, /* one attempt only; a kept-alive connection found dead is none */
    HTTP_NO_PROXY = 1 << 2, /* straight there, whatever the environment says */
    /* The URL is somebody else's word: not to a loopback or link-local address. */
    HTTP_PUBLIC_ONLY = 1 << 3,
    HTTP_NO_STALL = 1 << 4, /* silence is no failure: the answer may be hours away */
};

struct http_header {
    const char *name;
    const char *value;
    bool origin_only; /* a secret for the first URL's origin */
};

enum { HTTP_HEADERS_MAX = 32 };

struct http_request {
    const char *method;      /* borrowed: a literal */
    const char *url;         /* copied */
    const char *unix_socket; /* path of a socket to connect to, whatever host url names; or NULL;
                                copied */
    const struct http_header *headers; /* copied; n_headers of them, at most HTTP_HEADERS_MAX */
    size_t n_headers;
    const void *body; /* borrowed until on_done; NULL with has_body sends Content-Length: 0 */
    size_t body_len;
    bool has_body;
    size_t max_body; /* cap on an answer's body that is collected (errors always are, to 64 KiB) */
    unsigned flags;  /* enum http_flags */
    int64_t timeout_ms; /* of an attempt as a whole; 0: none */
    /* No byte in either direction for so long ends the attempt; 0: as http_options says. For
     * answers that are waited for on purpose (long polls): these take no turn. */
    int64_t stall_timeout_ms;
};

/* An answer. Valid during the callback that gets it. */
struct http_response {
    int status;
    int64_t content_length; /* -1: not given */
    const char *body;       /* collected body, NUL-terminated; "" when on_data took it */
    size_t body_len;
    const char *url; /* the last URL, after redirects */
    const struct http_call *call;
};

/* Value of the first header of that name (any case), or NULL. Same validity as the response. */
const char *http_response_header(const struct http_response *rsp, const char *name);

/* What on_data returns to stop the flow without taking anything. http_resume() goes on. */
#define HTTP_PAUSE ((size_t)-1)

struct http_events {
    /* Before each attempt: adds headers with http_add_header(). -1 ends the exchange with err. */
    int (*prepare)(void *arg, struct http_call *call, struct err *err);
    /* A 2xx has begun. -1 ends the exchange with err. With on_data only. Comes again when the
     * answer breaks before its first byte and the request is retried. */
    int (*on_head)(void *arg, const struct http_response *rsp, struct err *err);
    /* Bytes of a 2xx's body: returns how many were taken; fewer than len, or HTTP_PAUSE, stops the
     * flow until http_resume(), and the rest comes again. NULL: collected instead. Once bytes were
     * handed over the exchange is not retried here. */
    size_t (*on_data)(void *arg, const void *data, size_t len);
    /* Or NULL. Where the next bytes of the body may lie, *len of them at most, so that nobody has
     * to copy them there; NULL: nowhere in particular. on_data comes right after it, with bytes
     * that lie there or with others. */
    void *(*room)(void *arg, size_t *len);
    /* What to take an error status for, where services say "later" by another one than HTTP means
     * for it; NULL: for what it is. It decides about retries, and becomes err->http_status. */
    int (*read_status)(void *arg, const struct http_response *rsp);
    /* Once, at the end. err NULL: a 2xx, complete. Otherwise what went wrong; rsp is NULL when
     * there was no answer at all. An error status is ERR_HTTP with err->http_status. */
    void (*on_done)(void *arg, const struct http_response *rsp, const struct err *err);
};

/* Starts an exchange. `events` is copied. Never fails at once: whatever is wrong comes to on_done.
 */
struct http_call *http_start(struct loop *loop, const struct http_request *rq,
                             const struct http_events *events, void *arg);

/* From `prepare` only. Both strings are copied. */
void http_add_header(struct http_call *call, const char *name, const char *value);

/* After on_data returned HTTP_PAUSE. */
void http_resume(struct http_call *call);

/* In on_done: how many of its requests may have been carried out though no answer says so. A 2xx
 * says it, a refusal denies it; a broken connection, a time-out and a server's fault other than 501
 * and 503 leave it open. A repetition because a kept connection turned out to be dead counts. */
unsigned http_unanswered(const struct http_call *call);

/* Ends the exchange soon: on_done comes with ERR_CANCELLED, from the loop. Not twice. */
void http_cancel(struct http_call *call);

/* Process-wide defaults, before the first loop_new(). */
struct http_options {
    int64_t connect_timeout_ms;
    int64_t stall_timeout_ms; /* no byte in either direction for so long ends the attempt */
    int max_attempts;         /* of one request, the first included */
    const char *ca_bundle;    /* a file; copied. NULL or "": SSL_CERT_FILE's, or the system's */
    const char *user_agent;   /* borrowed: a literal */
};
int http_init(const struct http_options *options, struct err *err);

#endif
