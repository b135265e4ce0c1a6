/* SPDX-License-Identifier: Apache-2.0
 *
 * credentials_assume_role: a profile's role_arn, assumed with what its source_profile (which may
 * name a role itself) or its credential_source gives.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "aws/credentials_profile.h"
#include "aws/credentials_source.h"
#include "core/clock.h"
#include "core/mem.h"
#include "core/text.h"

static const char PROVIDER[] = "assumed role";

enum {
    CHAIN_MAX = 8, /* profiles that name each other; more is a mistake */
    ARN_MIN = 20,  /* STS API reference, AssumeRole, as are the next */
    ARN_MAX = 2048,
    SESSION_NAME_MIN = 2,
    SESSION_NAME_MAX = 64,
};

struct assume_role {
    struct credentials_source base;
    struct credentials_source *from; /* owned */
    struct sts *sts;
    char *role_arn, *session_name, *external_id; /* owned; the last two may be NULL */
    int duration_s;                              /* 0: the role's default */
    struct aws_credentials who;                  /* owned; fetched from `from` */
    struct sts_call *call;                       /* NULL: none */
};

/* ---- fetching ---- */

static void on_assumed(void *arg, const struct aws_credentials *found, const struct err *err)
{
    struct assume_role *a = arg;
    a->call = NULL;
    aws_credentials_release(&a->who);
    credentials_source_end(&a->base, found, err);
}

static void assume(struct assume_role *a)
{
    char *name = credentials_session_name(a->session_name);
    const struct sts_request rq = {
        .provider = PROVIDER,
        .role_arn = a->role_arn,
        .session_name = name,
        .external_id = a->external_id,
        .duration_s = a->duration_s,
        .who = a->from->ops ? &a->who : &a->from->keys,
    };
    a->call = sts_assume(a->sts, &rq, on_assumed, a);
    free(name);
}

static void on_source(void *arg, const struct aws_credentials *found, const struct err *err)
{
    struct assume_role *a = arg;
    if (!found) {
        struct err named = *err;
        err_prefix(&named, "to assume %.200s", a->role_arn);
        credentials_source_end(&a->base, NULL, &named);
        return;
    }
    a->who = *found;
    assume(a);
}

static void fetch(struct credentials_source *s)
{
    struct assume_role *a = (struct assume_role *)s;
    if (a->from->ops)
        credentials_source_fetch(a->from, on_source, a);
    else
        assume(a);
}

static void cancel(struct credentials_source *s)
{
    struct assume_role *a = (struct assume_role *)s;
    if (a->call)
        sts_cancel(a->call);
    else
        credentials_source_cancel(a->from);
}

static void free_source(struct credentials_source *s)
{
    struct assume_role *a = (struct assume_role *)s;
    credentials_source_free(a->from);
    free(a->role_arn);
    free(a->session_name);
    free(a->external_id);
    free(a);
}

static const struct credentials_source_ops ops = {fetch, cancel, free_source};

/* ---- what a role has to look like ---- */

char *credentials_session_name(const char *given)
{
    return given ? xstrdup(given) : xprintf("egress-%lld", (long long)(clock_wall_ms() / 1000));
}

int credentials_check_role(const char *arn, const char *session_name, struct err *err)
{
    static const char name_chars[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+=,.@-";
    size_t len = strlen(arn);
    bool fine = len >= ARN_MIN && len <= ARN_MAX && strncmp(arn, "arn:", 4) == 0;
    for (const char *c = arn; fine && *c; c++)
        fine = *c > ' ' && *c <= '~';
    if (!fine)
        return err_set(
            err, ERR_CONFIG,
            "\"%.80s\" is not the ARN of a role, such as arn:aws:iam::123456789012:role/x", arn);
    len = session_name ? strlen(session_name) : SESSION_NAME_MIN;
    if (len < SESSION_NAME_MIN || len > SESSION_NAME_MAX ||
        (session_name && strspn(session_name, name_chars) != len))
        return err_set(err, ERR_CONFIG,
                       "\"%.80s\" is no session name for a role: 2 to 64 letters, digits and "
                       "_+=,.@-",
                       session_name);
    return 0;
}

/* ---- looking ---- */

static int mistake(const struct profile *p, const char *what, struct err *err)
{
    return err_set(err, ERR_CONFIG, "profile \"%s\" %s", p->name, what);
}

static bool has_keys(const struct profile *p)
{
    return profile_get(p, NULL, "aws_access_key_id") ||
           profile_get(p, NULL, "aws_secret_access_key");
}

static int from_credential_source(const struct credentials_lookup *l, const char *name,
                                  struct credentials_source **out, struct err *err)
{
    static const struct {
        const char *name;
        credentials_provider_fn *provider;
    } places[] = {
        {"Environment", credentials_environment},
        {"EcsContainer", credentials_container},
        {"Ec2InstanceMetadata", credentials_imds},
    };
    struct credentials_lookup lookup = *l;
    lookup.environment = true;
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        if (strcasecmp(name, places[i].name) != 0)
            continue;
        struct buf tried = BUF_INIT(sizeof(err->msg));
        int found = places[i].provider(&lookup, out, &tried, err);
        if (found == 0)
            err_set(err, ERR_CONFIG,
                    "profile \"%s\" has credential_source %s, but there is nothing: looked for %s",
                    l->profile->name, places[i].name, buf_str(&tried));
        buf_release(&tried);
        return found == 1 ? 0 : -1;
    }
    return mistake(l->profile,
                   "has a credential_source that is not Environment, EcsContainer or "
                   "Ec2InstanceMetadata",
                   err);
}

/* Whether a profile that is being looked at leads to `name` again. */
static int check_chain(const struct credentials_lookup *l, const char *name, struct err *err)
{
    /* One that names itself means its own keys. */
    if (strcmp(l->profile->name, name) == 0 && has_keys(l->profile))
        return 0;
    int n = 0;
    for (const struct credentials_lookup *up = l; up; up = up->parent, n++)
        if (strcmp(up->profile->name, name) == 0)
            return err_set(err, ERR_CONFIG,
                           "profile \"%s\" leads back to itself through source_profile", name);
    if (n >= CHAIN_MAX)
        return mistake(l->profile, "has too long a chain of source_profile", err);
    return 0;
}

static int from_source_profile(const struct credentials_lookup *l, const char *name,
                               struct credentials_source **out, struct err *err)
{
    if (check_chain(l, name, err) < 0)
        return -1;
    struct profile profile;
    struct buf tried = BUF_INIT(sizeof(err->msg));
    struct credentials_lookup lookup = {
        .loop = l->loop, .sts = l->sts, .profile = &profile, .parent = l};
    int found = profile_open(&profile, name, "source_profile", err);
    if (found == 0)
        found = credentials_profile_chain(&lookup, out, &tried, err);
    if (found == 0)
        err_set(err, ERR_CONFIG,
                "profile \"%s\", the source_profile of \"%s\", has no credentials: looked in %s",
                name, l->profile->name, buf_str(&tried));
    buf_release(&tried);
    profile_close(&profile);
    return found == 1 ? 0 : -1;
}

static int find_source(const struct credentials_lookup *l, struct credentials_source **out,
                       struct err *err)
{
    const char *profile = profile_get(l->profile, NULL, "source_profile");
    const char *place = profile_get(l->profile, NULL, "credential_source");
    if (profile && place)
        return mistake(l->profile, "has both source_profile and credential_source: keep one", err);
    if (!profile && !place)
        return mistake(l->profile,
                       "has role_arn, but neither source_profile nor credential_source nor "
                       "web_identity_token_file",
                       err);
    return profile ? from_source_profile(l, profile, out, err)
                   : from_credential_source(l, place, out, err);
}

int credentials_assume_role(const struct credentials_lookup *l, struct credentials_source **out,
                            struct buf *tried, struct err *err)
{
    (void)tried;
    const struct profile *p = l->profile;
    const char *arn = profile_get(p, NULL, "role_arn");
    if (!arn || profile_get(p, NULL, "web_identity_token_file") || (l->parent && has_keys(p)))
        return 0;
    if (profile_get(p, NULL, "mfa_serial"))
        return mistake(p, "has mfa_serial: a role that asks for a code cannot be assumed here",
                       err);
    const char *session_name = profile_get(p, NULL, "role_session_name");
    const char *duration = profile_get(p, NULL, "duration_seconds");
    int64_t duration_s = 0;
    if (duration &&
        text_parse_int(duration, STS_DURATION_MIN_S, STS_DURATION_MAX_S, &duration_s) < 0)
        return mistake(p, "has a duration_seconds that is not from 900 to 43200", err);
    struct credentials_source *from = NULL;
    if (credentials_check_role(arn, session_name, err) < 0 || find_source(l, &from, err) < 0)
        return -1;
    CHECK(from);
    struct assume_role *a = xcalloc(1, sizeof(*a));
    a->base = (struct credentials_source){.ops = &ops, .provider = PROVIDER, .loop = l->loop};
    a->base.where =
        xprintf("%s, by profile \"%s\" with those from %s", arn, p->name, from->provider);
    a->from = from;
    a->sts = l->sts;
    a->role_arn = xstrdup(arn);
    a->session_name = xstrdup(session_name);
    a->external_id = xstrdup(profile_get(p, NULL, "external_id"));
    a->duration_s = (int)duration_s;
    *out = &a->base;
    return 1;
}
