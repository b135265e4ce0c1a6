/* SPDX-License-Identifier: Apache-2.0
 *
 * credentials_web_identity: a token in a file (Kubernetes, CI systems) exchanged for a role's
 * credentials. The file is read anew each time: whoever wrote it replaces it before it expires.
 */
#include <stdlib.h>

#include "aws/credentials_profile.h"
#include "aws/credentials_source.h"
#include "core/mem.h"

static const char PROVIDER[] = "web identity";

struct web_identity {
    struct credentials_source base;
    struct sts *sts;
    char *role_arn, *session_name; /* owned; the name may be NULL */
    char *token_file;              /* owned, as is its name */
    const char *token_file_name;
    struct sts_call *call; /* NULL: none */
};

static void on_assumed(void *arg, const struct aws_credentials *found, const struct err *err)
{
    struct web_identity *w = arg;
    struct err named;
    w->call = NULL;
    if (err) {
        named = *err;
        err_prefix(&named, "web identity (%s)", w->token_file_name);
        err = &named;
    }
    credentials_source_end(&w->base, found, err);
}

static void fetch(struct credentials_source *s)
{
    struct web_identity *w = (struct web_identity *)s;
    struct buf token;
    struct err err = {0};
    if (credentials_read_file(w->token_file_name, w->token_file, &token, &err) < 0) {
        credentials_source_fail(s, &err);
    } else {
        char *name = credentials_session_name(w->session_name);
        const struct sts_request rq = {
            .provider = PROVIDER,
            .role_arn = w->role_arn,
            .session_name = name,
            .web_identity_token = buf_str(&token),
        };
        w->call = sts_assume(w->sts, &rq, on_assumed, w);
        free(name);
    }
    credentials_wipe(&token);
}

static void cancel(struct credentials_source *s)
{
    struct web_identity *w = (struct web_identity *)s;
    if (w->call)
        sts_cancel(w->call);
}

static void free_source(struct credentials_source *s)
{
    struct web_identity *w = (struct web_identity *)s;
    free(w->role_arn);
    free(w->session_name);
    free(w->token_file);
    free(w);
}

static const struct credentials_source_ops ops = {fetch, cancel, free_source};

/* The variable, where variables count, else the profile's. *from gets the name it goes by. */
static const char *setting(const struct credentials_lookup *l, const char *variable,
                           const char *key, const char **from)
{
    const char *value = l->environment ? credentials_variable(variable) : NULL;
    *from = value ? variable : key;
    return value ? value : profile_get(l->profile, NULL, key);
}

int credentials_web_identity(const struct credentials_lookup *l, struct credentials_source **out,
                             struct buf *tried, struct err *err)
{
    const char *file_name, *ignored;
    const char *file =
        setting(l, "AWS_WEB_IDENTITY_TOKEN_FILE", "web_identity_token_file", &file_name);
    if (!file) {
        if (l->environment)
            buf_str_append(tried, "AWS_WEB_IDENTITY_TOKEN_FILE");
        return 0;
    }
    const char *role = setting(l, "AWS_ROLE_ARN", "role_arn", &ignored);
    const char *name = setting(l, "AWS_ROLE_SESSION_NAME", "role_session_name", &ignored);
    if (!role)
        return err_set(err, ERR_CONFIG, "%s is set, but no role: set %s too", file_name,
                       l->environment ? "AWS_ROLE_ARN (role_arn)" : "role_arn");
    if (credentials_check_role(role, name, err) < 0)
        return -1;
    struct web_identity *w = xcalloc(1, sizeof(*w));
    w->base = (struct credentials_source){.ops = &ops, .provider = PROVIDER, .loop = l->loop};
    w->base.where = xprintf("role %s, the token in %s", role, file);
    w->sts = l->sts;
    w->role_arn = xstrdup(role);
    w->session_name = xstrdup(name);
    w->token_file = xstrdup(file);
    w->token_file_name = file_name; /* a literal */
    *out = &w->base;
    return 1;
}
