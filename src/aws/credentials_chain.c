/* SPDX-License-Identifier: Apache-2.0
 *
 * credentials_chain: the places where credentials are looked for, in the AWS CLI's order. The first
 * that is in use is taken; a mistake in it is told, and the next one is not tried.
 */
#include <string.h>

#include "aws/credentials_profile.h"
#include "aws/credentials_source.h"

/* Signing in by a browser is for persons; the AWS CLI hands on what it got that way. */
static int single_sign_on(const struct credentials_lookup *l, struct credentials_source **out,
                          struct buf *tried, struct err *err)
{
    static const char *const keys[] = {"sso_session", "sso_start_url", "login_session"};
    (void)out;
    (void)tried;
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        if (profile_get(l->profile, NULL, keys[i]))
            return err_set(
                err, ERR_CONFIG,
                "profile \"%s\" signs in through a browser (%s), which is not supported: "
                "name another with credential_process = aws configure "
                "export-credentials --profile %s",
                l->profile->name, keys[i], l->profile->name);
    return 0;
}

static int walk(credentials_provider_fn *const *providers, size_t n,
                const struct credentials_lookup *l, struct credentials_source **out,
                struct buf *tried, struct err *err)
{
    int found = 0;
    for (size_t i = 0; found == 0 && i < n; i++) {
        size_t before = tried->len;
        bool marked = before >= 2 && memcmp(tried->data + before - 2, "; ", 2) == 0; /* outside */
        if (before && !marked)
            buf_str_append(tried, "; ");
        size_t with_mark = tried->len;
        found = providers[i](l, out, tried, err);
        if (tried->len == with_mark && before != with_mark) { /* it had nothing to tell */
            tried->len = before;
            tried->data[before] = '\0';
        }
    }
    return found;
}

int credentials_chain(const struct credentials_lookup *l, struct credentials_source **out,
                      struct buf *tried, struct err *err)
{
    static credentials_provider_fn *const providers[] = {
        credentials_environment,
        credentials_profile_chain,
        credentials_container,
        credentials_imds,
    };
    return walk(providers, sizeof(providers) / sizeof(providers[0]), l, out, tried, err);
}

int credentials_profile_chain(const struct credentials_lookup *l, struct credentials_source **out,
                              struct buf *tried, struct err *err)
{
    static credentials_provider_fn *const providers[] = {
        credentials_assume_role, credentials_web_identity, credentials_shared_file,
        credentials_process,     credentials_config_file,  single_sign_on,
    };
    return walk(providers, sizeof(providers) / sizeof(providers[0]), l, out, tried, err);
}
