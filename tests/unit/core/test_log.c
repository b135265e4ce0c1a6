/* SPDX-License-Identifier: Apache-2.0
 *
 * log: every line is one line, and JSON when it says so, whatever goes into it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>

#include "core/log.h"
#include "core/mem.h"

static char *logged(enum log_format format, const struct log_field *fields, const char *msg)
{
    FILE *f = tmpfile();
    assert_non_null(f);
    log_init(f, LOG_INFO, format);
    log_event(LOG_WARN, fields, "%s", msg);
    log_event(LOG_DEBUG, NULL, "below the level");
    char *text = xcalloc(100000, 1);
    rewind(f);
    assert_true(fread(text, 1, 99999, f) < 99999);
    log_init(stderr, LOG_INFO, LOG_AUTO);
    fclose(f);
    return text;
}

static void human(void **state)
{
    (void)state;
    char *text = logged(LOG_HUMAN, LOG_FIELDS(LOG_TEXT("job", "j")), "a\n\033[2Jb");
    assert_string_equal(text, "egress: warning: a??[2Jb\n");
    free(text);
}

static json_t *one_json_line(const char *text)
{
    assert_true(strchr(text, '\n') == text + strlen(text) - 1);
    json_t *line = json_loads(text, 0, NULL);
    assert_non_null(line);
    return line;
}

static void json(void **state)
{
    (void)state;
    char *text =
        logged(LOG_JSON, LOG_FIELDS(LOG_TEXT("job", "j\n\xff"), LOG_NUM("bytes", -5)), "m");
    json_t *line = one_json_line(text);
    assert_string_equal(json_string_value(json_object_get(line, "level")), "warn");
    assert_string_equal(json_string_value(json_object_get(line, "msg")), "m");
    assert_string_equal(json_string_value(json_object_get(line, "job")), "j\n\xef\xbf\xbd");
    assert_int_equal(json_integer_value(json_object_get(line, "bytes")), -5);
    json_decref(line);
    free(text);
}

static void json_holds_with_the_longest_hostile_text(void **state)
{
    (void)state;
    static const char hostile[] = {1, '"', '\\', (char)0xff};
    for (size_t i = 0; i < sizeof(hostile); i++) {
        char *msg = xcalloc(20001, 1);
        memset(msg, hostile[i], 20000);
        char *text = logged(LOG_JSON, LOG_FIELDS(LOG_TEXT("long", msg), LOG_NUM("n", 7)), msg);
        json_t *line = one_json_line(text);
        assert_null(json_object_get(line, "long"));
        assert_int_equal(json_integer_value(json_object_get(line, "n")), 7);
        assert_true(json_string_length(json_object_get(line, "msg")) > 1000);
        json_decref(line);
        free(text);
        free(msg);
    }
}

static void common_fields_come_behind_those_of_the_line(void **state)
{
    (void)state;
    log_set_common(LOG_FIELDS(LOG_TEXT("request_id", "r-1")));
    char *text = logged(LOG_JSON, LOG_FIELDS(LOG_TEXT("job", "j")), "m");
    json_t *line = one_json_line(text);
    assert_true(strstr(text, "\"job\"") < strstr(text, "\"request_id\""));
    assert_string_equal(json_string_value(json_object_get(line, "request_id")), "r-1");
    json_decref(line);
    free(text);
    text = logged(LOG_JSON, NULL, "m");
    assert_non_null(strstr(text, "r-1"));
    free(text);
    log_set_common(NULL);
    text = logged(LOG_JSON, NULL, "m");
    assert_null(strstr(text, "r-1"));
    free(text);
}

static void a_secret_is_stars_wherever_it_stands(void **state)
{
    (void)state;
    log_redact("s3cret-token");
    char *text = logged(LOG_HUMAN, NULL, "s3cret-token, s3cret-toke, s3cret-tokens3cret-token");
    assert_string_equal(text, "egress: warning: ***, s3cret-toke, ******\n");
    free(text);
    text = logged(LOG_JSON, LOG_FIELDS(LOG_TEXT("url", "/?token=s3cret-token&x")), "m");
    json_t *line = one_json_line(text);
    assert_string_equal(json_string_value(json_object_get(line, "url")), "/?token=***&x");
    json_decref(line);
    free(text);
    log_redact(NULL);
    text = logged(LOG_HUMAN, NULL, "s3cret-token");
    assert_string_equal(text, "egress: warning: s3cret-token\n");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(human),
        cmocka_unit_test(json),
        cmocka_unit_test(json_holds_with_the_longest_hostile_text),
        cmocka_unit_test(common_fields_come_behind_those_of_the_line),
        cmocka_unit_test(a_secret_is_stars_wherever_it_stands),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
