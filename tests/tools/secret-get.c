/* SPDX-License-Identifier: Apache-2.0
 *
 * secret-get: prints the secret that its argument names, as it stands; for tests against a server.
 */
#include <stdio.h>
#include <stdlib.h>

#include "aws/secrets.h"
#include "net/http.h"

struct run {
    struct loop *loop;
    struct err err;
};

static void on_secret(void *arg, const void *data, size_t len, const struct err *err)
{
    struct run *run = arg;
    if (err)
        run->err = *err;
    else
        fwrite(data, 1, len, stdout);
    loop_stop(run->loop);
}

static int get(struct run *run, const char *id)
{
    struct err *err = &run->err;
    const struct credentials_config who = {.region = getenv("AWS_REGION")};
    struct credentials *credentials = credentials_new(run->loop, &who, err);
    if (!credentials)
        return -1;
    const struct secrets_config config = {
        .id = id, .region = getenv("AWS_REGION"), .credentials = credentials};
    struct secrets *secrets = secrets_new(run->loop, &config, err);
    if (secrets) {
        secrets_get(secrets, on_secret, run);
        loop_run(run->loop);
        secrets_free(secrets);
    }
    credentials_free(credentials);
    return err->code == ERR_NONE ? 0 : -1;
}

int main(int argc, char **argv)
{
    struct run run = {0};
    const struct http_options options = {.connect_timeout_ms = 5000,
                                         .stall_timeout_ms = 20000,
                                         .max_attempts = 3,
                                         .user_agent = "egress/test"};
    if (argc != 2 || http_init(&options, &run.err) < 0 || !(run.loop = loop_new(&run.err)))
        return 2;
    int rc = get(&run, argv[1]);
    loop_free(run.loop);
    if (rc < 0)
        fprintf(stderr, "%s\n", run.err.msg);
    return rc < 0 ? err_exit_status(&run.err) : 0;
}
