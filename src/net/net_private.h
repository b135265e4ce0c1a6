/* SPDX-License-Identifier: Apache-2.0
 *
 * net_private: what the files of this room share, and nobody else sees.
 */
#ifndef EGRESS_NET_NET_PRIVATE_H
#define EGRESS_NET_NET_PRIVATE_H

#include <curl/curl.h>
#include <sys/epoll.h>

#include "net/http.h"
#include "net/loop.h"
#include "net/url.h"

CURLM *loop_multi(struct loop *loop);
CURLSH *loop_share(struct loop *loop); /* of TLS sessions */
struct origins *loop_origins(struct loop *loop);

/* Whose handle it is that has ended: what CURLOPT_PRIVATE points to, of each handle in the multi.
 * Called by the loop, outside any libcurl callback. */
struct easy_owner {
    void (*done)(void *arg, CURLcode code);
    void *arg;
};

/* A descriptor of ours among those that the loop waits for. Embedded in the caller's struct. */
struct loop_watch {
    void (*fn)(void *arg, uint32_t events); /* of epoll; EPOLLERR and EPOLLHUP come unasked */
    void *arg;
    int fd;
    uint32_t events; /* that are waited for */
};
void loop_watch(struct loop *loop, struct loop_watch *own, int fd, uint32_t events,
                void (*fn)(void *arg, uint32_t events), void *arg);
/* events 0: fn is not called until it is called again with others. */
void loop_watch_for(struct loop *loop, struct loop_watch *own, uint32_t events);
/* After it fn is not called any more. Before the descriptor is closed. */
void loop_unwatch(struct loop *loop, struct loop_watch *own);

struct connection;
struct connection_list { /* connection.c's */
    struct connection *newest, *oldest;
    size_t n;
};
struct connection_list *loop_idle_connections(struct loop *loop);

/* Memory to receive into and to put a request together in, between two callbacks: of the loop. */
enum { LOOP_SCRATCH = 256 * 1024 };
char *loop_scratch(struct loop *loop);

/* As http_init() was told. */
const struct http_options *http_options(void);

/* The proxy that the environment names for an origin, or NULL: none, or the origin is excepted.
 * Borrowed from the environment. */
const char *proxy_by_environment(const char *scheme, const char *host);
/* Whether it is one that is sent requests for http, with the whole URL; else it only connects. */
bool proxy_takes_requests(const char *proxy);
/* What Proxy-Authorization says to it (caller frees); NULL: its URL names no user. */
char *proxy_authorization(const char *proxy);

/* The file of certificate authorities: `given` or, if NULL or "", SSL_CERT_FILE's, or the system's
 * where libcurl does not know it by itself. NULL: libcurl's own. Borrowed. ERR_CONFIG: the file
 * cannot be read. */
int ca_bundle_choose(const char *given, const char **bundle, struct err *err) MUST_CHECK;

/* Puts `code` (and what libcurl wrote about it) into err, in our words. `what`: "GET https://…". */
void net_error_from_curl(struct err *err, CURLcode code, const char *what, const char *detail);

/* Retries of one origin's requests: a budget that a store which is down uses up, so that it is not
 * hammered, and that successes fill again. Figures: AWS SDKs' standard mode, 2026 defaults. */
struct retry_budget {
    int tokens;
};
enum { RETRY_BUDGET_MAX = 500 };

/* What one request has had of it. */
struct retry_state {
    int attempts;  /* made so far */
    int last_cost; /* tokens that its latest retry took; 0: there was none */
    /* The latest attempt was refused for being too many, and fewer are sent since: a burst that
     * meets a limit is no sign of a store that is down. Its retry costs nothing, and the first of a
     * request is no attempt. */
    bool allowed_for;
    bool spared; /* that first one was */
};

/* Whether an attempt that ended so may be made again; fills how long to wait. Takes tokens. */
bool retry_wanted(struct retry_budget *budget, struct retry_state *state, const struct err *err,
                  int max_attempts, int64_t *delay_ms);
/* Whether an attempt that ended so tells whether the request was carried out; err->code may be
 * ERR_NONE. */
bool retry_answered(const struct err *err);
/* The request succeeded: gives back what its latest retry took, or one token. */
void retry_succeeded(struct retry_budget *budget, const struct retry_state *state);

/* Seconds or an HTTP date -> ms from now, at most 1e9; 0 when it is neither or in the past. */
int retry_after_ms(const char *value);

struct answer_headers {
    struct answer_header {
        char *name;
        char *value;
    } * all; /* owned */
    size_t n;
};

/* One line as it came. A name that is there already gets the value joined by a comma; what is no
 * header field is left out. The caller bounds the sum of all lines. */
void answer_headers_add(struct answer_headers *headers, const char *line, size_t len);
const char *answer_headers_get(const struct answer_headers *headers,
                               const char *name); /* or NULL */
void answer_headers_release(struct answer_headers *headers);

/* The absolute URL that a Location in an answer from `current` leads to (caller frees), and whether
 * it is of the first URL's origin. NULL: http.h's rules forbid it. */
char *redirect_target(const char *current, const struct url *first, const char *location,
                      bool *same_origin, struct err *err);

/* Of an address as a socket has it; what cannot be read counts as local. */
bool redirect_address_is_local(const char *ip);

#endif
