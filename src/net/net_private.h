/* SPDX-License-Identifier: Apache-2.0
 *
 * net_private: what loop.c, http.c and retry.c share, and nobody else sees.
 */
#ifndef EGRESS_NET_NET_PRIVATE_H
#define EGRESS_NET_NET_PRIVATE_H

#include <curl/curl.h>

#include "net/http.h"
#include "net/loop.h"

CURLM *loop_multi(struct loop *loop);
struct retry_budget *loop_retry_budget(struct loop *loop);

/* Called by the loop for each easy handle that has ended, outside any libcurl callback. */
void http_easy_done(CURL *easy, CURLcode code);

/* Puts `code` (and what libcurl wrote about it) into err, in our words. `what`: "GET https://…". */
void net_error_from_curl(struct err *err, CURLcode code, const char *what, const char *detail);

/* Retries of one loop's requests: a budget that a store which is down uses up, so that it is not
 * hammered, and that successes fill again. Figures: AWS SDKs' standard mode, 2026 defaults. */
struct retry_budget {
    int tokens;
};
enum { RETRY_BUDGET_MAX = 500 };

/* Whether an attempt that ended so may be made again; fills how long to wait. Takes tokens.
 * attempt: of those made so far, 1 at least. */
bool retry_wanted(struct retry_budget *budget, const struct err *err, int attempt, int max_attempts,
                  int64_t *delay_ms);
void retry_succeeded(struct retry_budget *budget, int attempt);

/* Seconds or an HTTP date -> ms from now; 0 when it is neither or in the past. */
int retry_after_ms(const char *value);

#endif
