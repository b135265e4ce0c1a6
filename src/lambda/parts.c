/* SPDX-License-Identifier: Apache-2.0
 *
 * parts: what handlers stand on: the assembly that grows, and the Platform's token in it.
 */
#include <stdlib.h>

#include "core/log.h"
#include "core/mem.h"
#include "lambda/lambda_private.h"
#include "platform/token.h"
#include "schedule/consumer.h"

/* ---- adding ---- */

static int parse_token(const struct lambda *l, struct token *token, struct err *err)
{
    char *what = xprintf("secret %s", l->platform_token.arn);
    int rc = token_parse(l->platform_token.text, l->platform_token.len, what, token, err);
    free(what);
    return rc;
}

static int add(struct lambda *l)
{
    struct token token = {0};
    bool secret = l->extent & ASSEMBLE_SOURCE && !l->assembly.source && l->platform_token.text;
    if (secret && parse_token(l, &token, &l->err) < 0) {
        secret_forget(&l->platform_token); /* once it is put right it is to be seen */
        return -1;
    }
    int rc = assemble_more(&l->assembly, &l->settings, l->extent, secret ? &token : NULL, &l->err);
    token_release(&token);
    return rc;
}

static void assemble_now(void *arg)
{
    struct lambda *l = arg;
    struct err none = {0};
    if (l->err.code == ERR_NONE)
        (void)add(l);
    struct err err = l->err;
    l->err = none;
    l->assembled(l, err.code == ERR_NONE ? NULL : &err);
}

static void on_token(void *arg, const struct err *err)
{
    struct lambda *l = arg;
    if (err)
        l->err = *err;
    assemble_now(l);
}

void lambda_assemble(struct lambda *l, unsigned extent, lambda_done_fn *then)
{
    l->extent = extent;
    l->assembled = then;
    bool fetch = extent & ASSEMBLE_SOURCE && !l->assembly.source && l->platform_token.arn &&
                 !l->platform_token.text;
    if (fetch &&
        secret_fetch(&l->platform_token, &l->assembly, &l->settings, on_token, l, &l->err) == 0)
        return;
    loop_post(l->assembly.loop, &l->task, assemble_now, l);
}

/* ---- another token ---- */

bool lambda_token_refused(const struct err *err)
{
    return err->code == ERR_AUTH && err->http_status == 401;
}

static void unchanged(void *arg)
{
    struct lambda *l = arg;
    l->refreshed(l, false);
}

static void on_token_again(void *arg, const struct err *err)
{
    struct lambda *l = arg;
    struct err why = {0};
    struct token token = {0};
    bool changed = !err && l->platform_token.changed;
    if (err) {
        log_warn("the Platform refused the token, and the secret could not be fetched again: %s",
                 err->msg);
    } else if (changed && parse_token(l, &token, &why) < 0) {
        log_error("the Platform refused the token, and what the secret is now is none: %s",
                  why.msg);
        secret_forget(&l->platform_token);
        changed = false;
    } else if (changed) {
        log_info("the Platform refused the token; the secret has another by now");
        consumer_free(l->consumer);
        l->consumer = NULL;
        assembly_drop_source(&l->assembly);
    }
    token_release(&token);
    l->refreshed(l, changed);
}

void lambda_refresh_token(struct lambda *l, void (*then)(struct lambda *l, bool changed))
{
    struct err err = {0};
    l->refreshed = then;
    if (l->platform_token.arn &&
        secret_fetch(&l->platform_token, &l->assembly, &l->settings, on_token_again, l, &err) == 0)
        return;
    if (l->platform_token.arn)
        log_warn("%s", err.msg);
    loop_post(l->assembly.loop, &l->task, unchanged, l);
}
