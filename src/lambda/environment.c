/* SPDX-License-Identifier: Apache-2.0
 *
 * environment: the variables that lambda.h lists -> settings and tokens.
 */
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "core/mem.h"
#include "lambda/lambda_private.h"

static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

static void set_up_log(const struct settings *s)
{
    enum log_level level;
    enum log_format format;
    CHECK(log_level_parse(settings_text(s, SET_LOG_LEVEL), &level) == 0);
    CHECK(log_format_parse(settings_text(s, SET_LOG_FORMAT), &format) == 0);
    log_init(stderr, level, format);
}

/* BUCKET_NAME and PREFIX -> l->to; left alone when there is no BUCKET_NAME. */
static int read_bucket(struct lambda *l, struct err *err)
{
    const char *bucket = variable("BUCKET_NAME"), *prefix = variable("PREFIX");
    if (!bucket && prefix)
        return err_set(err, ERR_CONFIG,
                       "PREFIX is set and BUCKET_NAME is not; expected both, or "
                       "EGRESS_TO=s3://BUCKET/PREFIX");
    if (!bucket)
        return 0;
    if (strchr(bucket, '/'))
        return err_set(err, ERR_CONFIG,
                       "BUCKET_NAME=%.200s: expected the name of a bucket alone; what objects are "
                       "to begin with belongs into PREFIX",
                       bucket);
    l->to = xprintf("--%s=s3://%s/%s", settings_flag(SET_TO), bucket, prefix ? prefix : "");
    return 0;
}

static int read_settings(struct lambda *l, struct err *err)
{
    enum setting all[SETTINGS_COUNT];
    for (int i = 0; i < SETTINGS_COUNT; i++)
        all[i] = (enum setting)i;
    char *argv[] = {l->to};
    int n_operands;
    int rc =
        settings_parse(&l->settings, all, SETTINGS_COUNT, l->to ? 1 : 0, argv, &n_operands, err);
    set_up_log(&l->settings);
    if (rc < 0)
        return -1;
    if (settings_text(&l->settings, SET_TO))
        return assemble_check(&l->settings, ASSEMBLE_ENGINE, err);
    if (!settings_text(&l->settings, SET_QUEUE))
        return err_set(err, ERR_CONFIG,
                       "neither BUCKET_NAME nor EGRESS_QUEUE is set; expected the "
                       "bucket that outputs go to, or the queue that jobs go to");
    return 0;
}

static int read_webhook_token(struct lambda *l, struct err *err)
{
    const char *given = variable("WEBHOOK_TOKEN");
    l->webhook_secret.arn = given ? NULL : variable("WEBHOOK_TOKEN_ARN");
    return given ? lambda_set_webhook_token(l, given, "WEBHOOK_TOKEN", err) : 0;
}

int lambda_read_environment(struct lambda *l, struct err *err)
{
    const char *name = variable("AWS_LAMBDA_FUNCTION_NAME");
    l->name = name ? name : "egress";
    l->platform_token.arn = variable("SECRET_ARN");
    int rc = read_bucket(l, err);
    struct err ignored = {0};
    if (read_settings(l, rc == 0 ? err : &ignored) < 0)
        rc = -1;
    if (rc == 0 && read_webhook_token(l, err) < 0)
        rc = -1;
    return rc;
}
