/* SPDX-License-Identifier: Apache-2.0
 *
 * err: messages are one printable line whatever goes into them; what is worth a retry.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>

#include "core/err.h"
#include "core/text.h"

static void set_replaces_everything(void **state)
{
    (void)state;
    struct err err = {ERR_HTTP, 503, 1000, "before"};
    assert_int_equal(err_set(&err, ERR_INPUT, "bad %s", "thing"), -1);
    assert_int_equal(err.code, ERR_INPUT);
    assert_int_equal(err.http_status, 0);
    assert_int_equal(err.retry_after_ms, 0);
    assert_string_equal(err.msg, "bad thing");
}

static void message_may_be_built_from_itself(void **state)
{
    (void)state;
    struct err err = {0};
    err_set(&err, ERR_IO, "one");
    err_set(&err, ERR_IO, "%s, two", err.msg);
    err_prefix(&err, "[%s]", err.msg);
    assert_string_equal(err.msg, "[one, two]: one, two");
}

static void errno_is_told(void **state)
{
    (void)state;
    struct err err = {0};
    assert_int_equal(err_set_errno(&err, ERR_IO, ENOSPC, "cannot write %s", "f"), -1);
    assert_string_equal(err.msg, "cannot write f: No space left on device");
}

static void hostile_text_stays_one_printable_line(void **state)
{
    (void)state;
    struct err err = {0};
    err_set(&err, ERR_INPUT, "<%s>",
            "a\r\nb\tc\033[2J\x7f\xc2\x9b"
            "31m\xff\xc3\xa9");
    assert_string_equal(err.msg, "<a  b c?[2J??31m?\xc3\xa9>");
    err_prefix(&err, "x\ny");
    assert_null(strchr(err.msg, '\n'));
}

static void long_text_is_cut(void **state)
{
    (void)state;
    char text[2000];
    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    struct err err = {0};
    err_set(&err, ERR_INPUT, "%s", text);
    assert_int_equal(strlen(err.msg), sizeof(err.msg) - 1);
    err_prefix(&err, "context");
    assert_int_equal(strlen(err.msg), sizeof(err.msg) - 1);
    assert_int_equal(strncmp(err.msg, "context: xxx", 12), 0);
    err_prefix(&err, "%s", text); /* a prefix that leaves no room for the message is left out */
    assert_int_equal(strncmp(err.msg, "context: xxx", 12), 0);
    /* Cut in the middle of a character, it is still UTF-8. */
    for (size_t i = 0; i + 2 < sizeof(text); i += 2)
        memcpy(text + i, "\xc3\xa9", 2);
    err_set(&err, ERR_INPUT, "%s", text);
    assert_true(text_is_utf8(err.msg, strlen(err.msg)));
}

static void retry_is_decided_by_code_and_status(void **state)
{
    (void)state;
    static const struct {
        enum err_code code;
        int http_status;
        bool retry;
        int exit_status;
    } rows[] = {
        {ERR_NETWORK, 0, true, 1},     {ERR_HTTP, 500, true, 1},  {ERR_HTTP, 429, true, 1},
        {ERR_HTTP, 408, true, 1},      {ERR_HTTP, 403, false, 4}, {ERR_USAGE, 0, false, 2},
        {ERR_AUTH, 401, false, 3},     {ERR_INPUT, 0, false, 4},  {ERR_JOB_UNKNOWN, 0, false, 4},
        {ERR_JOB_PENDING, 0, true, 1}, {ERR_NONE, 0, false, 0},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct err err = {.code = rows[i].code, .http_status = rows[i].http_status};
        assert_int_equal(err_is_retryable(&err), rows[i].retry);
        assert_int_equal(err_exit_status(&err), rows[i].exit_status);
    }
}

static void every_code_has_a_name_of_its_own(void **state)
{
    (void)state;
    for (int a = ERR_NONE; a <= ERR_JOB_UNKNOWN; a++)
        for (int b = ERR_NONE; b < a; b++)
            assert_string_not_equal(err_name((enum err_code)a), err_name((enum err_code)b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(set_replaces_everything),
        cmocka_unit_test(message_may_be_built_from_itself),
        cmocka_unit_test(errno_is_told),
        cmocka_unit_test(hostile_text_stays_one_printable_line),
        cmocka_unit_test(long_text_is_cut),
        cmocka_unit_test(retry_is_decided_by_code_and_status),
        cmocka_unit_test(every_code_has_a_name_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
