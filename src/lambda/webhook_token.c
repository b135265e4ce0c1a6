/* SPDX-License-Identifier: Apache-2.0
 *
 * webhook_token: the one lock on the door: the Platform signs nothing, and its console takes just a
 * URL, so the URL has a secret in it.
 */
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/secret.h"
#include "lambda/lambda_private.h"

enum {
    TOKEN_MIN = 16,
    TOKEN_MAX = 256,
    /* A wrong token may be a new one; strangers shall not make us ask more often. */
    AGAIN_MS = 60 * 1000,
};

int lambda_set_webhook_token(struct lambda *l, const char *token, const char *what, struct err *err)
{
    size_t len = strlen(token);
    /* What URLs carry as it stands, whoever writes them (RFC 3986, unreserved). */
    if (len < TOKEN_MIN || len > TOKEN_MAX ||
        strspn(token, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~") != len)
        return err_set(err, ERR_CONFIG,
                       "%s is no webhook token: expected %d to %d of A-Z a-z 0-9 . _ ~ -", what,
                       TOKEN_MIN, TOKEN_MAX);
    free(l->webhook_token);
    l->webhook_token = xstrdup(token);
    log_redact(token);
    return 0;
}

static bool same(const char *given, const char *token)
{
    return given && secret_is_same(given, strlen(given), token, strlen(token));
}

static bool brought(const struct lambda *l)
{
    const struct ingress_request *rq = &l->event.request;
    bool query = same(rq->query_token, l->webhook_token);
    bool header = same(rq->header_token, l->webhook_token);
    return query || header;
}

static void told(struct lambda *l)
{
    struct err err = {0};
    if (brought(l)) {
        l->checked(l, CHECKED_RIGHT, NULL);
        return;
    }
    const struct ingress_request *rq = &l->event.request;
    err_set(&err, ERR_AUTH, "%s; expected ?token=TOKEN behind the URL, or x-egress-token: TOKEN",
            rq->query_token || rq->header_token ? "this is not the webhook token"
                                                : "no webhook token");
    l->checked(l, CHECKED_WRONG, &err);
}

/* Once, and by the function that is concerned: workers and schedules get no webhooks. */
static void warn_of_none(struct lambda *l)
{
    if (!l->warned)
        log_warn("neither WEBHOOK_TOKEN nor WEBHOOK_TOKEN_ARN is set: whoever knows the URL can "
                 "send webhooks");
    l->warned = true;
}

static void check_now(void *arg)
{
    struct lambda *l = arg;
    struct err err = l->err;
    l->err = (struct err){0};
    if (err.code != ERR_NONE) {
        l->checked(l, CHECKED_UNKNOWN, &err);
    } else if (l->webhook_token) {
        told(l);
    } else {
        warn_of_none(l);
        l->checked(l, CHECKED_RIGHT, NULL);
    }
}

static void on_secret(void *arg, const struct err *err)
{
    struct lambda *l = arg;
    struct secret *secret = &l->webhook_secret;
    struct err why = {0};
    if (!err) {
        /* What people put into a secret may end with a line's end. */
        char *token = xstrndup(secret->text, strcspn(secret->text, "\r\n"));
        char *what = xprintf("secret %s", secret->arn);
        if (lambda_set_webhook_token(l, token, what, &why) < 0)
            err = &why;
        free(what);
        free(token);
        secret_forget(secret);
    }
    if (!err) {
        told(l);
    } else if (l->webhook_token) { /* the one that there was goes on */
        log_warn("the webhook token could not be fetched again: %s", err->msg);
        told(l);
    } else {
        l->checked(l, CHECKED_UNKNOWN, err);
    }
}

void lambda_check_webhook_token(struct lambda *l, lambda_checked_fn *then)
{
    struct secret *secret = &l->webhook_secret;
    l->checked = then;
    bool old = clock_mono_ms() - secret->fetched_ms >= AGAIN_MS;
    bool fetch = secret->arn && (!l->webhook_token || (old && !brought(l)));
    if (fetch && secret_fetch(secret, &l->assembly, &l->settings, on_secret, l, &l->err) == 0)
        return;
    loop_post(l->assembly.loop, &l->task, check_now, l);
}

void lambda_cancel_webhook_token(struct lambda *l)
{
    secret_cancel(&l->webhook_secret);
}
