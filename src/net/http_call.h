/* SPDX-License-Identifier: Apache-2.0
 *
 * http_call: one exchange, as http.c (its life), http1.c (an attempt) and http_answer.c (what comes
 * back) share it, and nobody else sees it.
 */
#ifndef EGRESS_NET_HTTP_CALL_H
#define EGRESS_NET_HTTP_CALL_H

#include <sys/types.h>

#include "core/buf.h"
#include "net/connection.h"
#include "net/http1_answer.h"
#include "net/net_private.h"
#include "net/origin.h"
#include "net/url.h"

enum { ERROR_BODY_MAX = 64 * 1024 };

struct header {
    char *name;
    char *value;
    bool origin_only;
};

enum {
    WANT_START = 1,
    WANT_RESUME = 2,
    WANT_CANCEL = 4,
    WANT_RETRY = 8,
    WANT_END = 16,
    WANT_ATTEMPT = 32, /* its turn has come */
    WANT_MORE = 64,    /* others have had theirs */
};

struct http_call {
    struct loop *loop;
    struct http_events events;
    void *arg;

    /* the request */
    const char *method;
    char *url;         /* the current one, after redirects */
    char *unix_socket; /* or NULL */
    struct url first_url;
    struct header headers[HTTP_HEADERS_MAX];
    size_t n_headers;
    const char *body;
    size_t body_len;
    bool has_body;
    size_t max_body;
    unsigned flags;
    int64_t timeout_ms, stall_timeout_ms;
    bool long_poll;

    /* the attempt */
    struct origin *origin; /* of `url`; NULL when that is none */
    struct origin_turn turn;
    const char *proxy; /* or NULL; the address on the socket is its */
    bool cross_origin; /* redirected away from the first URL's origin */
    char curl_error[CURL_ERROR_SIZE];
    struct retry_state retry;
    int redirects;
    unsigned unanswered; /* see http_unanswered() */

    struct connection *connection; /* NULL: not under way */
    bool reused;                   /* it has carried another exchange */
    bool bare;                     /* no TLS, no proxy */
    bool exchanging;               /* it is open and ours */
    struct buf request;            /* head, and the body if that is small */
    size_t sent;                   /* of the request and of a body that is not in it */
    CURLcode send_failure;         /* CURLE_OK: none */
    struct http1_answer answer;
    bool answered; /* a byte of it has come */
    char *rest;    /* owned: what was received and on_data did not take */
    size_t rest_len;
    struct loop_timer watchdog;      /* sees to the time-outs */
    int64_t deadline_ms;             /* of clock_mono_ms(); 0: none */
    int64_t last_byte_ms, window_ms; /* when one moved; since when they are counted */
    uint64_t window_bytes;

    /* the answer */
    struct http_response rsp;
    struct answer_headers answer_headers;
    bool headers_done;
    bool delivered; /* bytes went to on_data: not to be repeated */
    bool paused;    /* by on_data */
    struct buf answer_body;
    struct err err; /* what a callback of ours found wrong */

    unsigned wants;
    bool task_posted;
    bool ending; /* on_done runs: nothing can be wanted any more */
    struct loop_task task;
    struct loop_timer retry_timer;
};

enum {
    JOINED_MAX = 4 * 1024,  /* of a body that is copied behind its head: one TLS record for both */
    BURST_MAX = 256 * 1024, /* bytes of an answer in a row, before others are let in */
    RATE_MIN = 64,          /* bytes a second: what drips on below that is a stall as well */
};

/* From callbacks: notes what is to be done once they have returned. */
void http_call_want(struct http_call *call, unsigned what);

/* The attempt has come to its end. From the loop; the call may be gone after it. */
void http_attempt_done(struct http_call *call, CURLcode code);

/* ---- http_answer.c ---- */

bool http_call_is_success(const struct http_call *call); /* a 2xx */

/* Into call->err: what is wrong with the answer, and which request it is to. */
void http_answer_refuse(struct http_call *call, const char *why);

/* rsp.status, rsp.content_length and the headers are there. -1: the exchange is to end. */
int http_answer_head(struct http_call *call) MUST_CHECK;

/* Bytes of the body. Returns how many were taken; -1: the exchange is to end. Fewer than len: the
 * flow has stopped (call->paused). */
ssize_t http_answer_body(struct http_call *call, const char *data, size_t len) MUST_CHECK;

/* Whether the address that the request is about to go to is none for it; in call->err. */
bool http_address_refused(struct http_call *call, const char *ip);

/* ---- http1.c ---- */

/* A request to call->url; then its headers, and http1_start(). */
void http1_begin(struct http_call *call);
void http1_add_header(struct http_call *call, const char *name, const char *value);
void http1_start(struct http_call *call);
void http1_go_on(struct http_call *call); /* after a pause, or when others have had their turn */
void http1_drop(struct http_call *call);  /* ends the attempt if one is under way */

#endif
