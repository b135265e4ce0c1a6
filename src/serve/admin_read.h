/* SPDX-License-Identifier: Apache-2.0
 *
 * admin_read: what a request to the admin side says, as far as strangers can write it: the name
 * that it was sent to, where it comes from, parameters, bodies. Pure. Any thread.
 *
 *     struct admin_ids ids;
 *     if (admin_read_retry(body, len, &ids, &err) < 0) answer 400
 *     admin_ids_release(&ids);
 */
#ifndef EGRESS_SERVE_ADMIN_READ_H
#define EGRESS_SERVE_ADMIN_READ_H

#include <stdbool.h>
#include <stddef.h>

#include "core/err.h"
#include "queue/journal.h"

/* Whether a Host (may be NULL) names this machine: a loopback name with any port, or `address`. */
bool admin_host_is_local(const char *host, const char *address);

/* Whether a request with this Origin comes from a page of this Host; no Origin: from no page. */
bool admin_origin_is(const char *origin, const char *host);

/* The parameters of a list, each of which may be NULL. Sets state, limit, prefix and after of
 * *list. -1 (ERR_INPUT): says which was wrong and what was expected. */
struct admin_list_query {
    const char *state, *limit, *prefix, *after;
};
int admin_read_list(const struct admin_list_query *query, struct journal_list *list,
                    struct err *err) MUST_CHECK;

enum { ADMIN_RETRY_MAX = 10000 }; /* jobs in one request */
struct admin_ids {
    char **ids; /* owned, each too; NULL: all that are dead */
    size_t n;
};

/* {"jobs":[ID,...]} or {"dead":true}. *ids is to be released in any case. */
int admin_read_retry(const char *text, size_t len, struct admin_ids *ids,
                     struct err *err) MUST_CHECK;
void admin_ids_release(struct admin_ids *ids);

#endif
