/* SPDX-License-Identifier: Apache-2.0
 *
 * Who we are: from the environment and from the AWS CLI's files, in its order, and each mistake
 * told apart.
 */
#include "aws/credentials.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define KEYS "aws_access_key_id = FILEKEY\naws_secret_access_key = file/secret+\n"

static char dir[] = "/tmp/test_credentials_XXXXXX";
static char config[sizeof(dir) + 32], keys[sizeof(dir) + 32];

static int make_dir(void **state)
{
    (void)state;
    if (!mkdtemp(dir))
        return -1;
    snprintf(config, sizeof(config), "%s/.aws/config", dir);
    snprintf(keys, sizeof(keys), "%s/.aws/credentials", dir);
    char aws[sizeof(dir) + 32];
    snprintf(aws, sizeof(aws), "%s/.aws", dir);
    return mkdir(aws, 0700);
}

static int remove_dir(void **state)
{
    (void)state;
    char aws[sizeof(dir) + 32];
    snprintf(aws, sizeof(aws), "%s/.aws", dir);
    rmdir(aws);
    return rmdir(dir);
}

/* Each test begins with no AWS variable and no file. */
static int clean(void **state)
{
    static const char *const names[] = {
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_PROFILE",
        "AWS_SHARED_CREDENTIALS_FILE",
        "AWS_CONFIG_FILE",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_ROLE_ARN",
        "AWS_ROLE_SESSION_NAME",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_EC2_METADATA_SERVICE_ENDPOINT",
        "AWS_ENDPOINT_URL_STS",
        "AWS_ENDPOINT_URL",
        "AWS_STS_REGIONAL_ENDPOINTS",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        unsetenv(names[i]);
    setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
    setenv("HOME", dir, 1);
    unlink(config);
    unlink(keys);
    return 0;
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void assert_found(const char *profile, const char *id, const char *secret, const char *token,
                         const char *provider)
{
    struct err err = {0};
    struct loop *loop = loop_new(&err);
    const struct credentials_config who = {.profile = profile};
    struct credentials *c = credentials_new(loop, &who, &err);
    if (!c)
        fail_msg("%s", err.msg);
    const struct aws_credentials *now = credentials_current(c);
    assert_non_null(now);
    assert_string_equal(now->access_key_id, id);
    assert_string_equal(now->secret_access_key, secret);
    if (token)
        assert_string_equal(now->session_token, token);
    else
        assert_null(now->session_token);
    assert_string_equal(now->provider, provider);
    assert_string_equal(credentials_provider(c), provider);
    assert_int_equal(now->expires_ms, 0);
    assert_int_equal(strstr(credentials_where(c), "profile \"") != NULL,
                     strcmp(provider, "environment") != 0);
    if (strlen(secret) > 2) /* shorter ones are part of any path */
        assert_null(strstr(credentials_where(c), secret));
    credentials_free(c);
    loop_free(loop);
}

static void assert_message(const struct err *err, const char *const *parts)
{
    assert_int_equal(err->code, ERR_CONFIG);
    for (; *parts; parts++)
        if (!strstr(err->msg, *parts))
            fail_msg("no \"%s\" in: %s", *parts, err->msg);
    assert_null(strstr(err->msg, "hunter2"));
    assert_null(strpbrk(err->msg, "\r\n\x1b"));
}

#define PARTS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void assert_not_found(const char *profile, const char *const *parts)
{
    struct err err = {0};
    struct loop *loop = loop_new(&err);
    assert_null(credentials_new(loop, &(struct credentials_config){.profile = profile}, &err));
    assert_message(&err, parts);
    loop_free(loop);
}

static void assert_profile_refused(const char *profile, const char *const *parts)
{
    struct aws_profile p;
    struct err err = {0};
    assert_int_equal(aws_profile_load(profile, &p, &err), -1);
    assert_message(&err, parts);
}

/* ---- the environment ---- */

static void test_environment(void **state)
{
    (void)state;
    setenv("AWS_ACCESS_KEY_ID", "ID", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "s/+ =", 1);
    assert_found(NULL, "ID", "s/+ =", NULL, "environment");
    setenv("AWS_SESSION_TOKEN", "", 1);
    assert_found(NULL, "ID", "s/+ =", NULL, "environment");
    setenv("AWS_SESSION_TOKEN", "t/+==", 1);
    assert_found(NULL, "ID", "s/+ =", "t/+==", "environment");
}

static void test_environment_half(void **state)
{
    (void)state;
    write_file(keys, "[default]\n" KEYS);
    setenv("AWS_ACCESS_KEY_ID", "ID", 1);
    assert_not_found(NULL, PARTS("AWS_ACCESS_KEY_ID is set", "AWS_SECRET_ACCESS_KEY is not"));
    setenv("AWS_SECRET_ACCESS_KEY", "", 1);
    assert_not_found(NULL, PARTS("AWS_ACCESS_KEY_ID is set", "AWS_SECRET_ACCESS_KEY is not"));
    unsetenv("AWS_ACCESS_KEY_ID");
    setenv("AWS_SECRET_ACCESS_KEY", "hunter2", 1);
    assert_not_found(NULL, PARTS("AWS_SECRET_ACCESS_KEY is set", "AWS_ACCESS_KEY_ID is not"));
}

static void test_environment_malformed(void **state)
{
    (void)state;
    setenv("AWS_ACCESS_KEY_ID", "hunter2\n", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "hunter2", 1);
    assert_not_found(NULL, PARTS("AWS_ACCESS_KEY_ID of the environment"));
    setenv("AWS_ACCESS_KEY_ID", "ID", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "hunter2\r\n", 1);
    assert_not_found(NULL, PARTS("AWS_SECRET_ACCESS_KEY of the environment"));
    setenv("AWS_SECRET_ACCESS_KEY", "s", 1);
    setenv("AWS_SESSION_TOKEN", "hunter2 hunter2", 1);
    assert_not_found(NULL, PARTS("AWS_SESSION_TOKEN of the environment"));
}

/* ---- the files ---- */

static void test_credentials_file(void **state)
{
    (void)state;
    write_file(keys, "[default]\r\n" KEYS "[work]\naws_access_key_id=W\naws_secret_access_key=ws\n"
                     "aws_session_token=wt\n");
    assert_found(NULL, "FILEKEY", "file/secret+", NULL, "shared credentials file");
    assert_found("work", "W", "ws", "wt", "shared credentials file");
    setenv("AWS_PROFILE", "work", 1);
    assert_found(NULL, "W", "ws", "wt", "shared credentials file");
    assert_found("default", "FILEKEY", "file/secret+", NULL, "shared credentials file");
    setenv("AWS_PROFILE", "", 1);
    assert_found(NULL, "FILEKEY", "file/secret+", NULL, "shared credentials file");
}

static void test_whofile(void **state)
{
    (void)state;
    write_file(config, "[default]\n" KEYS "[profile work]\naws_access_key_id=W\n"
                       "aws_secret_access_key=ws\n[other]\n" KEYS);
    assert_found(NULL, "FILEKEY", "file/secret+", NULL, "shared config file");
    assert_found("work", "W", "ws", NULL, "shared config file");
    assert_not_found("other", PARTS("no profile \"other\" (from --profile)", "[profile other] in ",
                                    "/.aws/config"));
    write_file(keys, "[work]\naws_access_key_id=X\naws_secret_access_key=xs\n");
    assert_found("work", "X", "xs", NULL, "shared credentials file");
    write_file(config, "[default]\nregion = a\n[profile default]\n" KEYS);
    assert_found(NULL, "FILEKEY", "file/secret+", NULL, "shared config file");
}

static void test_order(void **state)
{
    (void)state;
    write_file(keys, "[default]\n" KEYS "[work]\naws_access_key_id=W\naws_secret_access_key=ws\n");
    setenv("AWS_ACCESS_KEY_ID", "ID", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "s", 1);
    assert_found(NULL, "ID", "s", NULL, "environment");
    setenv("AWS_PROFILE", "work", 1);
    assert_found(NULL, "ID", "s", NULL, "environment");
    assert_found("work", "W", "ws", NULL, "shared credentials file");
}

static void test_named_files(void **state)
{
    (void)state;
    write_file(keys, "[default]\n" KEYS);
    setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null", 1);
    assert_not_found(NULL, PARTS("no AWS credentials", "AWS_ACCESS_KEY_ID in the environment",
                                 "[default] in /dev/null", "/.aws/config (no such file)"));
    setenv("AWS_CONFIG_FILE", keys, 1);
    assert_found(NULL, "FILEKEY", "file/secret+", NULL, "shared config file");
    unsetenv("AWS_CONFIG_FILE");
    setenv("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials", 1);
    assert_found(NULL, "FILEKEY", "file/secret+", NULL, "shared credentials file");
}

static void test_nothing(void **state)
{
    (void)state;
    assert_not_found(NULL, PARTS("no AWS credentials", "set AWS_ACCESS_KEY_ID", "--profile",
                                 "in the environment; AWS_WEB_IDENTITY_TOKEN_FILE; [default]",
                                 "/.aws/credentials (no such file)", "/.aws/config (no such"));
    unsetenv("HOME");
    assert_not_found(NULL, PARTS("no AWS credentials", "HOME is not set"));
    setenv("HOME", dir, 1);
    write_file(config, "[profile x]\nregion = r\n");
    assert_not_found("x", PARTS("no AWS credentials", "as a profile was named", "[profile x] in ",
                                "/.aws/config"));
}

static void test_unknown_profile(void **state)
{
    (void)state;
    write_file(keys, "[default]\n" KEYS);
    assert_not_found("nosuch", PARTS("no profile \"nosuch\" (from --profile)", "[nosuch] in ", keys,
                                     "[profile nosuch] in ", config, "(no such file)"));
    assert_profile_refused("nosuch", PARTS("no profile \"nosuch\" (from --profile)", keys, config));
    setenv("AWS_PROFILE", "nosuch", 1);
    assert_profile_refused(NULL, PARTS("no profile \"nosuch\" (from AWS_PROFILE)"));
    assert_not_found(NULL, PARTS("no profile \"nosuch\" (from AWS_PROFILE)"));
    assert_not_found("a\nb\x1b[31m", PARTS("no profile \"a"));
}

static void test_file_mistakes(void **state)
{
    (void)state;
    write_file(keys, "[default]\naws_access_key_id = ID\n");
    assert_not_found(NULL, PARTS("aws_access_key_id is set in profile \"default\" of ", keys,
                                 "aws_secret_access_key is not"));
    write_file(keys, "[default]\naws_secret_access_key = hunter2\n");
    assert_not_found(NULL, PARTS("aws_access_key_id is not"));
    write_file(keys, "[default]\naws_access_key_id = ID\naws_secret_access_key = hunter2\n  x\n");
    assert_not_found(NULL, PARTS("aws_secret_access_key of profile \"default\" of ", keys));
    write_file(keys, "[default]\naws_access_key_id = ID\nhunter2\n");
    assert_not_found(NULL, PARTS(keys, "line 3: "));
    assert_profile_refused(NULL, PARTS(keys, "line 3: "));
    setenv("AWS_CONFIG_FILE", dir, 1);
    write_file(keys, "[default]\n" KEYS);
    assert_not_found(NULL, PARTS(dir, "is a directory"));
}

/* ---- settings of a profile ---- */

static void test_profile_settings(void **state)
{
    (void)state;
    struct aws_profile p;
    struct err err = {0};
    assert_int_equal(aws_profile_load(NULL, &p, &err), 0);
    assert_null(p.region);
    assert_null(p.endpoint_url);
    assert_null(p.ca_bundle);
    assert_null(p.addressing_style);
    aws_profile_release(&p);

    write_file(config, "[profile x]\nregion = eu-west-1\nendpoint_url = http://general\n"
                       "ca_bundle = /a b/ca.pem\ns3 =\n  addressing_style = path\n"
                       "[profile y]\nregion = us-gov-west-1\nservices = local\n"
                       "endpoint_url = http://general\n"
                       "[profile z]\nservices = sqs-only\nendpoint_url = http://general\n"
                       "[services local]\ns3 =\n  endpoint_url = http://s3:9000/base\n"
                       "[services sqs-only]\nsqs =\n  endpoint_url = http://sqs\n");
    assert_int_equal(aws_profile_load("x", &p, &err), 0);
    assert_string_equal(p.region, "eu-west-1");
    assert_string_equal(p.endpoint_url, "http://general");
    assert_string_equal(p.ca_bundle, "/a b/ca.pem");
    assert_string_equal(p.addressing_style, "path");
    aws_profile_release(&p);
    assert_int_equal(aws_profile_load("y", &p, &err), 0);
    assert_string_equal(p.endpoint_url, "http://s3:9000/base");
    assert_null(p.addressing_style);
    aws_profile_release(&p);
    assert_int_equal(aws_profile_load("z", &p, &err), 0);
    assert_string_equal(p.endpoint_url, "http://general");
    aws_profile_release(&p);

    write_file(keys, "[x]\nregion = eu-north-1\n");
    setenv("AWS_PROFILE", "x", 1);
    assert_int_equal(aws_profile_load(NULL, &p, &err), 0);
    assert_string_equal(p.region, "eu-north-1");
    assert_string_equal(p.addressing_style, "path");
    aws_profile_release(&p);
    aws_profile_release(&p);
}

static void test_profile_mistakes(void **state)
{
    (void)state;
    write_file(config, "[default]\nregion = eu west\n");
    assert_profile_refused(NULL, PARTS(config, "line 2: region"));
    write_file(config, "[default]\nregion = r/../x\n");
    assert_profile_refused(NULL, PARTS(config, "line 2: region"));
    write_file(config, "[default]\nregion = r\ns3 =\n  addressing_style = dns\n");
    assert_profile_refused(NULL,
                           PARTS(config, "line 4: addressing_style", "auto, path or virtual"));
    write_file(config, "[default]\nservices = nosuch\n");
    assert_profile_refused(NULL, PARTS(config, "line 2: there is no [services nosuch]"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_environment, clean, clean),
        cmocka_unit_test_setup_teardown(test_environment_half, clean, clean),
        cmocka_unit_test_setup_teardown(test_environment_malformed, clean, clean),
        cmocka_unit_test_setup_teardown(test_credentials_file, clean, clean),
        cmocka_unit_test_setup_teardown(test_whofile, clean, clean),
        cmocka_unit_test_setup_teardown(test_order, clean, clean),
        cmocka_unit_test_setup_teardown(test_named_files, clean, clean),
        cmocka_unit_test_setup_teardown(test_nothing, clean, clean),
        cmocka_unit_test_setup_teardown(test_unknown_profile, clean, clean),
        cmocka_unit_test_setup_teardown(test_file_mistakes, clean, clean),
        cmocka_unit_test_setup_teardown(test_profile_settings, clean, clean),
        cmocka_unit_test_setup_teardown(test_profile_mistakes, clean, clean),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
