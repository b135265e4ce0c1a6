/* SPDX-License-Identifier: Apache-2.0
 *
 * signature: whether a webhook comes from somebody who knows one of our secrets.
 *
 * The Platform signs nothing, and its console takes just a URL: there a token in the URL is the
 * lock. For senders that sign there are Standard Webhooks 1.0.0 (HMAC-SHA256, "v1") and the form
 * that GitHub made common (X-Hub-Signature-256). Any one secret that fits will do, so that they can
 * be exchanged without a gap. Compared in constant time, on the bytes as they came. Pure but for
 * reading the file. A loaded set is read-only: any thread.
 *
 * A set is text, a line each; empty lines and those that begin with # are passed over:
 *     token VALUE                 ?token=VALUE, or a header x-egress-token: VALUE, or
 *                                 Authorization: Bearer VALUE
 *     standard-webhooks whsec_VALUE
 *     hub-sha256 VALUE
 *
 *     struct signature_keys *keys = signature_keys_parse(text, len, "secrets.txt", &err);
 *     if (signature_check(keys, &given, now_ms, &err) < 0) answer 401
 *     signature_keys_free(keys);
 */
#ifndef EGRESS_EVENT_SIGNATURE_H
#define EGRESS_EVENT_SIGNATURE_H

#include <stddef.h>
#include <stdint.h>

#include "core/err.h"

enum {
    SIGNATURE_KEYS_MAX = 32,
    SIGNATURE_SECRET_MIN = 16, /* bytes; shorter ones can be guessed */
    SIGNATURE_SECRET_MAX = 512,
    SIGNATURE_TOLERANCE_S = 300, /* of webhook-timestamp, either way; Standard Webhooks' custom */
};

struct signature_keys;

/* `what` names the text in messages. NULL (ERR_CONFIG): names the line and what was expected, not
 * what stands there. A text without any secret is refused. */
struct signature_keys *signature_keys_parse(const char *text, size_t len, const char *what,
                                            struct err *err);
/* The text is that of a file; one that others than its owner's group may read gets a warning. */
struct signature_keys *signature_keys_load(const char *path, struct err *err);
void signature_keys_free(struct signature_keys *keys); /* wipes them; NULL is fine */

/* What a request brought; NULL: it did not. Borrowed. */
struct signature_given {
    const char *query_token;   /* ?token= */
    const char *header_token;  /* x-egress-token */
    const char *authorization; /* Authorization */
    const char *webhook_id, *webhook_timestamp, *webhook_signature;
    const char *hub_signature; /* X-Hub-Signature-256 */
    const void *body;          /* as it came */
    size_t body_len;
};

/* 0, or -1 (ERR_AUTH): says what was expected, never the expected value. */
int signature_check(const struct signature_keys *keys, const struct signature_given *given,
                    int64_t now_ms, struct err *err) MUST_CHECK;

#endif
