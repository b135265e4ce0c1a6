/* SPDX-License-Identifier: Apache-2.0
 *
 * net_private: what the files of this room share, and nobody else sees.
 */
#ifndef EGRESS_NET_NET_PRIVATE_H
#define EGRESS_NET_NET_PRIVATE_H

#include <curl/curl.h>

#include "net/http.h"
#include "net/loop.h"
#include "net/url.h"

CURLM *loop_multi(struct loop *loop);
struct origins *loop_origins(struct loop *loop);

/* A handle with no option set, one that has been used before if there is one: making and freeing
 * one costs as much as setting it up. NULL: libcurl has none. */
CURL *loop_take_easy(struct loop *loop);
/* Of a handle that is out of the multi. `good`: its exchange ended well. Any other is not used
 * again: it keeps name servers that may be the reason, where libcurl has c-ares, and may keep a
 * buffer. */
void loop_give_easy(struct loop *loop, CURL *easy, bool good);

/* As http_init() was told. */
const struct http_options *http_options(void);

/* The proxy that the environment names for an origin, or NULL: none, or the origin is excepted.
 * Borrowed from the environment. */
const char *proxy_by_environment(const char *scheme, const char *host);

/* The file of certificate authorities: `given` or, if NULL or "", SSL_CERT_FILE's, or the system's
 * where libcurl does not know it by itself. NULL: libcurl's own. Borrowed. ERR_CONFIG: the file
 * cannot be read. */
int ca_bundle_choose(const char *given, const char **bundle, struct err *err) MUST_CHECK;

/* Called by the loop for each easy handle that has ended, outside any libcurl callback. */
void http_easy_done(CURL *easy, CURLcode code);

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
