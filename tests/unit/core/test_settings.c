/* SPDX-License-Identifier: Apache-2.0
 *
 * test_settings: flags, environment, defaults, and what is said when one of them is wrong.
 */
#include "core/settings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

enum { ARGS_MAX = 16 };

static const enum setting accepted[] = {SET_TO,        SET_FORCE,       SET_CONCURRENCY, SET_MEMORY,
                                        SET_CHECKSUM,  SET_RECEIPTS,    SET_SSE,         SET_REGION,
                                        SET_LOG_LEVEL, SET_READ_TIMEOUT};

#define N_ACCEPTED (sizeof(accepted) / sizeof(accepted[0]))

struct parsed {
    struct settings s;
    struct err err;
    char *argv[ARGS_MAX];
    int n_operands;
    int rc;
};

/* args: NULL at the end */
static void parse(struct parsed *p, const char *const *args)
{
    memset(p, 0, sizeof(*p));
    int argc = 0;
    for (; args[argc]; argc++) {
        assert_true(argc < ARGS_MAX);
        p->argv[argc] = (char *)(uintptr_t)args[argc];
    }
    p->rc = settings_parse(&p->s, accepted, N_ACCEPTED, argc, p->argv, &p->n_operands, &p->err);
}

#define PARSE(p, ...) parse((p), (const char *const[]){__VA_ARGS__, NULL})

static int clean_environment(void **state)
{
    (void)state;
    static const char *const names[] = {
        "EGRESS_TO",        "EGRESS_MEMORY",       "EGRESS_CONCURRENCY", "EGRESS_CHECKSUM",
        "EGRESS_RECEIPTS",  "EGRESS_SSE",          "AWS_REGION",         "AWS_DEFAULT_REGION",
        "EGRESS_LOG_LEVEL", "EGRESS_READ_TIMEOUT", "EGRESS_KEY"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        unsetenv(names[i]);
    return 0;
}

static void expect_error(const struct parsed *p, const char *msg)
{
    assert_int_equal(p->rc, -1);
    assert_int_equal(p->err.code, ERR_USAGE);
    assert_string_equal(p->err.msg, msg);
}

static void defaults(void **state)
{
    (void)state;
    struct parsed p;
    parse(&p, (const char *const[]){NULL});
    assert_int_equal(p.rc, 0);
    assert_int_equal(p.n_operands, 0);
    assert_null(settings_text(&p.s, SET_TO));
    assert_int_equal(settings_number(&p.s, SET_MEMORY), 64 * 1024 * 1024);
    assert_string_equal(settings_text(&p.s, SET_MEMORY), "64MiB");
    assert_int_equal(settings_number(&p.s, SET_CONCURRENCY), 16);
    assert_int_equal(settings_number(&p.s, SET_READ_TIMEOUT), 60000);
    assert_true(settings_is(&p.s, SET_CHECKSUM, "crc32c"));
    assert_true(settings_on(&p.s, SET_RECEIPTS));
    assert_false(settings_on(&p.s, SET_FORCE));
    assert_null(settings_text(&p.s, SET_SSE));
    assert_false(settings_is(&p.s, SET_SSE, "AES256"));
    /* not among the accepted: no value even of its default */
    assert_null(settings_text(&p.s, SET_KEY));
}

static void flags_and_operands(void **state)
{
    (void)state;
    struct parsed p;
    PARSE(&p, "one", "--to", "s3://b/p", "--force", "-", "--memory=1GiB", "--receipts", "off",
          "--sse=aws:kms", "--read-timeout", "1500ms", "two", "--", "--three", "-4");
    assert_int_equal(p.rc, 0);
    assert_string_equal(settings_text(&p.s, SET_TO), "s3://b/p");
    assert_true(p.s.given[SET_TO]);
    assert_false(p.s.given[SET_CONCURRENCY]);
    assert_true(settings_on(&p.s, SET_FORCE));
    assert_int_equal(settings_number(&p.s, SET_MEMORY), 1024 * 1024 * 1024);
    assert_false(settings_on(&p.s, SET_RECEIPTS));
    assert_true(settings_is(&p.s, SET_SSE, "aws:kms"));
    assert_int_equal(settings_number(&p.s, SET_READ_TIMEOUT), 1500);
    static const char *const operands[] = {"one", "-", "two", "--three", "-4"};
    assert_int_equal(p.n_operands, 5);
    for (int i = 0; i < 5; i++)
        assert_string_equal(p.argv[i], operands[i]);
}

static void last_of_a_repeated_flag_counts(void **state)
{
    (void)state;
    struct parsed p;
    PARSE(&p, "--to", "a", "--to=b=c");
    assert_int_equal(p.rc, 0);
    assert_string_equal(settings_text(&p.s, SET_TO), "b=c");
}

static void environment(void **state)
{
    (void)state;
    struct parsed p;
    setenv("EGRESS_TO", "/out", 1);
    setenv("EGRESS_MEMORY", "32MiB", 1);
    setenv("EGRESS_CONCURRENCY", "", 1); /* empty counts as not set */
    setenv("AWS_REGION", "", 1);
    setenv("AWS_DEFAULT_REGION", "eu-west-1", 1);
    setenv("EGRESS_KEY", "never-looked-at", 1);
    PARSE(&p, "--memory", "16MiB");
    assert_int_equal(p.rc, 0);
    assert_string_equal(settings_text(&p.s, SET_TO), "/out");
    assert_false(p.s.given[SET_TO]);
    assert_int_equal(settings_number(&p.s, SET_MEMORY), 16 * 1024 * 1024);
    assert_int_equal(settings_number(&p.s, SET_CONCURRENCY), 16);
    assert_string_equal(settings_text(&p.s, SET_REGION), "eu-west-1");
    assert_null(settings_text(&p.s, SET_KEY));
    setenv("AWS_REGION", "us-west-2", 1);
    PARSE(&p, "x");
    assert_string_equal(settings_text(&p.s, SET_REGION), "us-west-2");
}

static void environment_errors_name_the_variable(void **state)
{
    (void)state;
    struct parsed p;
    setenv("EGRESS_CHECKSUM", "md5", 1);
    PARSE(&p, "x");
    expect_error(&p, "EGRESS_CHECKSUM=md5: expected crc32c or none");
    /* a flag wins, so the variable is not looked at */
    PARSE(&p, "--checksum", "none");
    assert_int_equal(p.rc, 0);
}

static void wrong_values(void **state)
{
    (void)state;
    struct parsed p;
    PARSE(&p, "--memory", "lots");
    expect_error(&p, "--memory lots: expected a size from 16MiB to 1TiB, such as 64MiB");
    PARSE(&p, "--memory=15MiB");
    expect_error(&p, "--memory 15MiB: expected a size from 16MiB to 1TiB, such as 64MiB");
    PARSE(&p, "--memory=2TiB");
    expect_error(&p, "--memory 2TiB: expected a size from 16MiB to 1TiB, such as 64MiB");
    PARSE(&p, "--concurrency", "0");
    expect_error(&p, "--concurrency 0: expected a whole number from 1 to 512");
    PARSE(&p, "--concurrency", "-3");
    expect_error(&p, "--concurrency -3: expected a whole number from 1 to 512");
    PARSE(&p, "--concurrency", "99999999999999999999");
    expect_error(&p, "--concurrency 99999999999999999999: expected a whole number from 1 to 512");
    PARSE(&p, "--read-timeout", "0");
    expect_error(&p, "--read-timeout 0: expected a time from 1ms to 1h, such as 60s");
    PARSE(&p, "--sse", "aes256");
    expect_error(&p, "--sse aes256: expected AES256 or aws:kms");
    PARSE(&p, "--log-level", "loud\n\x1b[2J");
    assert_int_equal(p.rc, -1);
    assert_non_null(strstr(p.err.msg, "[2J: expected error, warn, info or debug"));
    assert_null(strpbrk(p.err.msg, "\n\x1b"));
    /* a prefix of a choice, and a list of them, are none */
    PARSE(&p, "--checksum", "crc32");
    assert_int_equal(p.rc, -1);
    PARSE(&p, "--checksum", "crc32c|none");
    assert_int_equal(p.rc, -1);
}

static void limits_are_inclusive(void **state)
{
    (void)state;
    struct parsed p;
    PARSE(&p, "--memory=16MiB", "--concurrency=512", "--read-timeout=1h");
    assert_int_equal(p.rc, 0);
    PARSE(&p, "--memory=1TiB", "--concurrency=1", "--read-timeout=1ms");
    assert_int_equal(p.rc, 0);
}

static void wrong_flags(void **state)
{
    (void)state;
    struct parsed p;
    PARSE(&p, "--memry", "64MiB");
    expect_error(&p, "--memry: no such flag; did you mean --memory?");
    PARSE(&p, "-to", "x");
    expect_error(&p, "-to: no such flag; did you mean --to?");
    PARSE(&p, "--conc=3");
    expect_error(&p, "--conc: no such flag; did you mean --concurrency?");
    PARSE(&p, "--quick");
    expect_error(&p, "--quick: this command does not take it");
    PARSE(&p, "--private-key=SECRET");
    expect_error(&p, "--private-key: no such flag"); /* without the value */
    PARSE(&p, "--=x");
    expect_error(&p, "--: no such flag");
}

static void wrong_use_of_flags(void **state)
{
    (void)state;
    struct parsed p;
    PARSE(&p, "--force=yes");
    expect_error(&p, "--force: it takes no value, just --force");
    PARSE(&p, "--to");
    expect_error(&p, "--to: its value is missing; expected --to DEST");
    PARSE(&p, "--to", "--force", "id");
    expect_error(&p, "--to: its value is missing; expected --to DEST");
    PARSE(&p, "--to", "--", "id");
    expect_error(&p, "--to: its value is missing; expected --to DEST");
    PARSE(&p, "--to", "");
    expect_error(&p, "--to: its value is empty; expected --to DEST");
    /* what only looks like a flag is a value */
    PARSE(&p, "--to", "--dir");
    assert_int_equal(p.rc, 0);
    assert_string_equal(settings_text(&p.s, SET_TO), "--dir");
}

static void first_error_wins_and_the_rest_is_read(void **state)
{
    (void)state;
    struct parsed p;
    setenv("EGRESS_SSE", "bad", 1);
    PARSE(&p, "--memory", "x", "--concurrency", "y", "--log-level", "debug");
    expect_error(&p, "--memory x: expected a size from 16MiB to 1TiB, such as 64MiB");
    assert_true(settings_is(&p.s, SET_LOG_LEVEL, "debug"));
    assert_int_equal(settings_number(&p.s, SET_MEMORY), 64 * 1024 * 1024);
}

static void a_long_value_is_cut_in_the_message(void **state)
{
    (void)state;
    char value[10000];
    memset(value, 'a', sizeof(value));
    value[sizeof(value) - 1] = '\0';
    struct parsed p;
    PARSE(&p, "--concurrency", value);
    assert_int_equal(p.rc, -1);
    assert_non_null(strstr(p.err.msg, "expected a whole number from 1 to 512"));
    char flag[10003] = "--";
    memcpy(flag + 2, value, sizeof(value));
    PARSE(&p, flag);
    assert_int_equal(p.rc, -1);
    assert_non_null(strstr(p.err.msg, "no such flag"));
}

/* Every default is a right value, and every row has what its kind needs. */
static void the_table_is_sound(void **state)
{
    (void)state;
    enum setting all[SETTINGS_COUNT];
    struct settings s;
    struct err err = {0};
    int n_operands;
    for (int i = 0; i < SETTINGS_COUNT; i++)
        all[i] = (enum setting)i;
    assert_int_equal(settings_parse(&s, all, SETTINGS_COUNT, 0, NULL, &n_operands, &err), 0);
    for (int i = 0; i < SETTINGS_COUNT; i++)
        for (int k = 0; k < i; k++)
            assert_string_not_equal(settings_flag((enum setting)i), settings_flag((enum setting)k));
}

static void origins(void **state)
{
    (void)state;
    struct parsed p;
    char out[SETTINGS_ORIGIN_SIZE];
    PARSE(&p, "--memory", "20M");
    assert_string_equal(settings_origin(&p.s, SET_MEMORY, out), "--memory");
    assert_string_equal(settings_origin(&p.s, SET_CHECKSUM, out), "the default");
    assert_null(settings_origin(&p.s, SET_REGION, out));
    setenv("AWS_DEFAULT_REGION", "eu-west-1", 1);
    PARSE(&p, "x");
    assert_string_equal(settings_origin(&p.s, SET_REGION, out), "AWS_DEFAULT_REGION");
    setenv("AWS_REGION", "eu-west-1", 1);
    PARSE(&p, "x");
    assert_string_equal(settings_origin(&p.s, SET_REGION, out), "AWS_REGION");
    PARSE(&p, "--region=eu-west-1");
    assert_string_equal(settings_origin(&p.s, SET_REGION, out), "--region");
}

static void help_fits_its_width(void **state)
{
    (void)state;
    enum setting all[SETTINGS_COUNT];
    for (int i = 0; i < SETTINGS_COUNT; i++)
        all[i] = (enum setting)i;
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    settings_help(all, SETTINGS_COUNT, 80, out);
    fclose(out);
    for (int i = 0; i < SETTINGS_COUNT; i++) {
        char flag[80];
        snprintf(flag, sizeof(flag), "  --%s", settings_flag((enum setting)i));
        assert_non_null(strstr(text, flag));
    }
    assert_non_null(strstr(text, "[16MiB to 1TiB; default"));
    assert_non_null(strstr(text, "EGRESS_MEMORY]"));
    for (const char *line = text; *line;) {
        size_t len = strcspn(line, "\n");
        assert_in_range(len, 1, 79);
        line += len + 1;
    }
    free(text);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, clean_environment, clean_environment)
    const struct CMUnitTest tests[] = {
        TEST(defaults),
        TEST(flags_and_operands),
        TEST(last_of_a_repeated_flag_counts),
        TEST(environment),
        TEST(environment_errors_name_the_variable),
        TEST(wrong_values),
        TEST(limits_are_inclusive),
        TEST(wrong_flags),
        TEST(wrong_use_of_flags),
        TEST(first_error_wins_and_the_rest_is_read),
        TEST(a_long_value_is_cut_in_the_message),
        TEST(the_table_is_sound),
        TEST(origins),
        TEST(help_fits_its_width),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
