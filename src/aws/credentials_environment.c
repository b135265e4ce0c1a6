/* SPDX-License-Identifier: Apache-2.0
 *
 * credentials_environment: keys from AWS_ACCESS_KEY_ID and its companions.
 */
#include "aws/credentials_source.h"

int credentials_environment(const struct credentials_lookup *l, struct credentials_source **out,
                            struct buf *tried, struct err *err)
{
    /* A profile named on the command line is nearer to the user than what the shell exports. */
    if (!l->environment) {
        buf_str_append(tried, "not the environment, as a profile was named");
        return 0;
    }
    const struct credentials_found found = {
        .provider = "environment",
        .where = "the environment",
        .id_name = "AWS_ACCESS_KEY_ID",
        .id = credentials_variable("AWS_ACCESS_KEY_ID"),
        .secret_name = "AWS_SECRET_ACCESS_KEY",
        .secret = credentials_variable("AWS_SECRET_ACCESS_KEY"),
        .token_name = "AWS_SESSION_TOKEN",
        .token = credentials_variable("AWS_SESSION_TOKEN"),
    };
    int result = credentials_keys(l, &found, out, err);
    if (result == 0)
        buf_str_append(tried, "AWS_ACCESS_KEY_ID in the environment");
    return result;
}
