/* SPDX-License-Identifier: Apache-2.0
 *
 * clock: dates as the protocols write them, in and out, and bad ones refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/clock.h"

/* 2020-01-20T15:09:42.000Z */
#define SAMPLE INT64_C(1579532982000)

static void formats(void **state)
{
    (void)state;
    char text[DATE_TEXT_SIZE];
    date_format_iso8601(SAMPLE + 7, text);
    assert_string_equal(text, "2020-01-20T15:09:42.007Z");
    date_format_day(SAMPLE, text);
    assert_string_equal(text, "2020-01-20");
    date_format_amz(SAMPLE, text);
    assert_string_equal(text, "20200120T150942Z");
    date_format_http(SAMPLE, text);
    assert_string_equal(text, "Mon, 20 Jan 2020 15:09:42 GMT");
    date_format_iso8601(-1, text);
    assert_string_equal(text, "1969-12-31T23:59:59.999Z");
}

static void extreme_times_are_formatted_without_harm(void **state)
{
    (void)state;
    char text[DATE_TEXT_SIZE];
    const int64_t times[] = {INT64_MAX, INT64_MIN, 0, INT64_C(-62167219200000)};
    for (size_t i = 0; i < 4; i++) {
        date_format_iso8601(times[i], text);
        assert_true(strlen(text) < DATE_TEXT_SIZE);
        date_format_day(times[i], text);
        date_format_amz(times[i], text);
        date_format_http(times[i], text);
        assert_true(strlen(text) < DATE_TEXT_SIZE);
    }
}

static void iso_dates(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
    } rows[] = {
        {"2020-01-20T15:09:42.000Z", SAMPLE},
        {"2020-01-20T15:09:42Z", SAMPLE},
        {"2020-01-20t15:09:42z", SAMPLE},
        {"2020-01-20 15:09:42", SAMPLE},
        {"2020-01-20T15:09:42", SAMPLE},
        {"2020-01-20T15:09:42.123456", SAMPLE + 123},
        {"2020-01-20T15:09:42,5Z", SAMPLE + 500},
        {"2020-01-20T15:09:42.12345678901234567890Z", SAMPLE + 123},
        {"2020-01-20T16:09:42+01:00", SAMPLE},
        {"2020-01-20T16:09:42+0100", SAMPLE},
        {"2020-01-20T16:09:42+01", SAMPLE},
        {"2020-01-20T09:39:42.000-05:30", SAMPLE},
        {"2020-01-20T15:09Z", SAMPLE - 42000},
        {"1970-01-01T00:00:00Z", 0},
        {"1969-12-31T23:59:59Z", -1000},
        {"2020-02-29T00:00:00Z", INT64_C(1582934400000)},
        {"2000-02-29T00:00:00Z", INT64_C(951782400000)},
        {"2016-12-31T23:59:60Z", INT64_C(1483228800000)},
        {"0000-01-01T00:00:00Z", INT64_C(-62167219200000)},
        {"9999-12-31T23:59:59.999Z", INT64_C(253402300799999)},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int64_t ms = 1;
        if (date_parse_iso8601(rows[i].text, &ms) < 0 || ms != rows[i].ms)
            fail_msg("%s: %lld", rows[i].text, (long long)ms);
    }
}

static void what_is_formatted_is_read_back(void **state)
{
    (void)state;
    /* Steps of about 200 days from the year 0 to the year 9999. */
    for (int64_t t = INT64_C(-62167219200000); t < INT64_C(253402300799999);
         t += INT64_C(17280123457)) {
        char text[DATE_TEXT_SIZE];
        int64_t back;
        date_format_iso8601(t, text);
        assert_int_equal(date_parse_iso8601(text, &back), 0);
        assert_true(back == t);
        int64_t second = t - (t % 1000 + 1000) % 1000;
        date_format_http(t, text);
        assert_int_equal(date_parse_http(text, &back), 0);
        assert_true(back == second);
    }
}

static void bad_iso_dates_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "now",
        "2020",
        "2020-01-20",
        "2020-01-20T",
        "2020-01-20T15",
        "2020-01-20T15:09:42.Z",
        "2020-01-20T15:09:4Z",
        "2020-13-20T15:09:42Z",
        "2020-00-20T15:09:42Z",
        "2020-01-32T15:09:42Z",
        "2020-01-00T15:09:42Z",
        "2019-02-29T00:00:00Z",
        "1900-02-29T00:00:00Z",
        "2020-01-20T24:00:00Z",
        "2020-01-20T15:60:42Z",
        "2020-01-20T15:09:61Z",
        "2020-01-20T15:09:42ZZ",
        "2020-01-20T15:09:42+1",
        "2020-01-20T15:09:42+24:00",
        "2020-01-20T15:09:42+01:60",
        "2020-01-20T15:09:42 ",
        " 2020-01-20T15:09:42Z",
        "-020-01-20T15:09:42Z",
        "2020-1-20T15:09:42Z",
        "20200120T150942Z",
        "2020-01-20T15:09:42+01:00Z",
        "2020-01-20X15:09:42Z",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        int64_t ms = 77;
        if (date_parse_iso8601(bad[i], &ms) == 0)
            fail_msg("accepted: %s", bad[i]);
        assert_int_equal(ms, 77);
    }
}

static void http_dates_in_three_forms(void **state)
{
    (void)state;
    static const char *const same[] = {
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
    };
    for (size_t i = 0; i < 3; i++) {
        int64_t ms = 0;
        assert_int_equal(date_parse_http(same[i], &ms), 0);
        assert_true(ms == INT64_C(784111777000));
    }
    int64_t ms;
    assert_int_equal(date_parse_http("Wed Nov 16 08:49:37 1994", &ms), 0);
    assert_true(ms == INT64_C(784975777000));
    assert_int_equal(date_parse_http("Monday, 20-Jan-20 15:09:42 GMT", &ms), 0);
    assert_true(ms == SAMPLE);
}

static void bad_http_dates_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "0",
        "Sun",
        "Sun,",
        "Sun, 06 Nov 1994",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37 GMT ",
        "Sun, 06 Nov 1994 08:49:37 GMTx",
        "Sun, 06 Foo 1994 08:49:37 GMT",
        "Sun, 31 Feb 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 25:49:37 GMT",
        "Sun, +6 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov -994 08:49:37 GMT",
        "Sun, 06 Nov 94 08:49:37 GMT",
        "Sunday, 06-Nov-1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37",
        "Sun Nov  6 08:49:37 1994 GMT",
        "Sun Nov 6 08:49:37 1994",
        "2020-01-20T15:09:42Z",
        "Sux, 06 Nov 1994 08:49:37 GMT",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        int64_t ms = 77;
        if (date_parse_http(bad[i], &ms) == 0)
            fail_msg("accepted: %s", bad[i]);
        assert_int_equal(ms, 77);
    }
}

static void clocks_run(void **state)
{
    (void)state;
    int64_t a = clock_mono_ms();
    assert_true(clock_mono_ms() >= a);
    assert_true(clock_wall_ms() > SAMPLE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats),
        cmocka_unit_test(extreme_times_are_formatted_without_harm),
        cmocka_unit_test(iso_dates),
        cmocka_unit_test(what_is_formatted_is_read_back),
        cmocka_unit_test(bad_iso_dates_are_refused),
        cmocka_unit_test(http_dates_in_three_forms),
        cmocka_unit_test(bad_http_dates_are_refused),
        cmocka_unit_test(clocks_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
