/* SPDX-License-Identifier: Apache-2.0
 *
 * http_call: one exchange, as http.c (its life) and http_easy.c (an attempt, as libcurl sees it)
 * share it, and nobody else sees it.
 */
#ifndef EGRESS_NET_HTTP_CALL_H
#define EGRESS_NET_HTTP_CALL_H

#include "core/buf.h"
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
    bool proxied; /* the address on the socket is a proxy's */
    CURL *easy;
    bool easy_good;          /* it ended well */
    struct curl_slist *list; /* the headers as libcurl wants them */
    char curl_error[CURL_ERROR_SIZE];
    size_t body_sent;
    bool cross_origin; /* redirected away from the first URL's origin */
    bool in_multi;
    struct retry_state retry;
    int redirects;
    unsigned unanswered; /* see http_unanswered() */

    /* the answer */
    struct http_response rsp;
    struct answer_headers answer_headers;
    size_t header_bytes; /* of the answer, its status line included */
    bool headers_done;
    bool delivered; /* bytes went to on_data: not to be repeated */
    size_t skip;    /* bytes that libcurl will hand over once more: on_data took them already */
    size_t burst;   /* bytes since others were let in */
    bool paused;    /* by on_data */
    struct buf answer_body;
    struct err err; /* what a callback of ours found wrong */

    unsigned wants;
    bool task_posted;
    bool ending; /* on_done runs: nothing can be wanted any more */
    struct loop_task task;
    struct loop_timer retry_timer;
};

/* From libcurl's callbacks: notes what is to be done once they have returned. */
void http_call_want(struct http_call *call, unsigned what);

bool http_call_is_success(const struct http_call *call); /* a 2xx */

/* Tells libcurl of the attempt at call->url; its headers are in call->list then, but for those of
 * the `prepare` hook. */
void http_easy_set_up(struct http_call *call);

#endif
