/* SPDX-License-Identifier: Apache-2.0
 *
 * credentials: the chain of providers, and what they have in common.
 */
#include "aws/credentials.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "aws/credentials_provider.h"
#include "core/buf.h"
#include "core/mem.h"

struct credentials {
    struct aws_credentials current;
};

/* In the AWS CLI's order. */
static credentials_provider_fn *const chain[] = {
    credentials_environment,
    credentials_profile,
};

static void wipe(char *secret)
{
    if (secret)
        OPENSSL_cleanse(secret, strlen(secret));
    free(secret);
}

void aws_credentials_release(struct aws_credentials *c)
{
    free(c->access_key_id);
    wipe(c->secret_access_key);
    wipe(c->session_token);
    *c = (struct aws_credentials){0};
}

static bool present(const char *value)
{
    return value && *value;
}

/* Key id and token go into headers and never have a blank; a secret may hold what its store allows,
 * but no line end: either is a copying mistake. */
static int check_value(const char *name, const char *value, const char *allowed_blank,
                       const char *where, struct err *err)
{
    for (const char *c = value; *c; c++)
        if (((unsigned char)*c <= ' ' || *c == 0x7f) && !strchr(allowed_blank, *c))
            return err_set(err, ERR_CONFIG,
                           "%s of %s has a blank, a line end or a control character in it: copy it "
                           "again",
                           name, where);
    return 0;
}

int credentials_fill(struct aws_credentials *out, const struct credentials_found *found,
                     struct err *err)
{
    bool id = present(found->id), secret = present(found->secret);
    if (!id && !secret)
        return 0;
    if (!id || !secret)
        return err_set(err, ERR_CONFIG, "%s is set in %s, but %s is not: set both or neither",
                       id ? found->id_name : found->secret_name, found->where,
                       id ? found->secret_name : found->id_name);
    bool token = present(found->token);
    if (check_value(found->id_name, found->id, "", found->where, err) < 0 ||
        check_value(found->secret_name, found->secret, " ", found->where, err) < 0 ||
        (token && check_value(found->token_name, found->token, "", found->where, err) < 0))
        return -1;
    *out = (struct aws_credentials){
        .access_key_id = xstrdup(found->id),
        .secret_access_key = xstrdup(found->secret),
        .session_token = token ? xstrdup(found->token) : NULL,
        .provider = found->provider,
    };
    return 1;
}

struct credentials *credentials_new(const char *profile, struct err *err)
{
    struct credentials *c = xcalloc(1, sizeof(*c));
    struct buf tried = BUF_INIT(sizeof(err->msg));
    int found = 0;
    for (size_t i = 0; found == 0 && i < sizeof(chain) / sizeof(chain[0]); i++) {
        if (tried.len)
            buf_str_append(&tried, "; ");
        found = chain[i](profile, &c->current, &tried, err);
    }
    if (found == 0)
        err_set(err, ERR_CONFIG,
                "no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a "
                "profile that has keys with --profile; looked in: %s",
                buf_str(&tried));
    buf_release(&tried);
    if (found == 1)
        return c;
    credentials_free(c);
    return NULL;
}

void credentials_free(struct credentials *c)
{
    if (!c)
        return;
    aws_credentials_release(&c->current);
    free(c);
}

const struct aws_credentials *credentials_current(struct credentials *c)
{
    return &c->current;
}
