/* SPDX-License-Identifier: Apache-2.0
 *
 * text: UTF-8, quoting, numbers with units, base64.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/text.h"

static void utf8(void **state)
{
    (void)state;
    static const char *const good[] = {"",
                                       "a",
                                       "\x7f",
                                       "\xc2\x80",
                                       "\xdf\xbf",
                                       "\xe0\xa0\x80",
                                       "\xed\x9f\xbf",
                                       "\xee\x80\x80",
                                       "\xef\xbf\xbf",
                                       "\xf0\x90\x80\x80",
                                       "\xf4\x8f\xbf\xbf"};
    static const char *const bad[] = {"\x80",
                                      "\xbf",
                                      "\xc0\x80",
                                      "\xc1\xbf",
                                      "\xc2",
                                      "\xc2\x41",
                                      "\xe0\x9f\xbf",
                                      "\xe2\x82",
                                      "\xed\xa0\x80",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xf0\x9f\x98",
                                      "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80",
                                      "\xff",
                                      "a\xfe"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(text_is_utf8(good[i], strlen(good[i])));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(text_is_utf8(bad[i], strlen(bad[i])));
    assert_true(text_is_utf8("a\0b", 3));
}

static void printable(void **state)
{
    (void)state;
    char s[] = "a\n\033[1m\x7f\xc2\x85|\xc2\xa0|\xff|\xe2\x82\xac|\xe2\x82";
    text_make_printable(s);
    assert_string_equal(s, "a??[1m??|\xc2\xa0|?|\xe2\x82\xac|??");
}

static void json_quote(void **state)
{
    (void)state;
    struct buf b = BUF_INIT(1000);
    text_json_quote(&b, "a\"b\\c\n\x01\x7f/\xc3\xa9\xff");
    assert_string_equal(buf_str(&b), "\"a\\\"b\\\\c\\u000a\\u0001\\u007f/\xc3\xa9\\ufffd\"");
    buf_release(&b);
}

static void sizes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {
        {"0", 0},          {"512", 512},           {"1k", 1024},
        {"1KB", 1024},     {"64MiB", 64ull << 20}, {"20G", 20ull << 30},
        {"1.5M", 3 << 19}, {"2t", 2ull << 40},     {"1p", 1ull << 50},
        {"7B", 7},         {"8PiB", 1ull << 53},
    };
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        uint64_t bytes = 77;
        if (text_parse_size(good[i].text, &bytes) < 0 || bytes != good[i].bytes)
            fail_msg("%s: %llu", good[i].text, (unsigned long long)bytes);
    }
    static const char *const bad[] = {"",    "-1",    "+1",  " 1",    "M",     "1X",   "1MM",
                                      "1 M", "1Mib ", "nan", "inf",   "1e999", "9PiB", "0x10",
                                      "1e3", "1.2.3", ".5",  "1KiB2", "1\xff", "1Bx"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        uint64_t bytes = 77;
        if (text_parse_size(bad[i], &bytes) == 0)
            fail_msg("accepted: %s", bad[i]);
        assert_int_equal(bytes, 77);
    }
}

static void sizes_are_written(void **state)
{
    (void)state;
    char out[TEXT_SIZE_MAX];
    assert_string_equal(text_format_size(0, out), "0 B");
    assert_string_equal(text_format_size(1023, out), "1023 B");
    assert_string_equal(text_format_size(1024, out), "1.0 KiB");
    assert_string_equal(text_format_size(1536, out), "1.5 KiB");
    assert_string_equal(text_format_size((1 << 20) - 1, out), "1.0 MiB");
    assert_string_equal(text_format_size(UINT64_MAX, out), "16.0 EiB");
}

static void durations(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
    } good[] = {{"0", 0},       {"90", 90000},   {"90s", 90000},  {"1.5s", 1500},
                {"250ms", 250}, {"10m", 600000}, {"2h", 7200000}, {"7d", 604800000}};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        int64_t ms = 77;
        assert_int_equal(text_parse_duration(good[i].text, &ms), 0);
        assert_true(ms == good[i].ms);
    }
    static const char *const bad[] = {"", "-1", "s", "1x", "1 s", "1sec", "1e99", "0x10", "nan"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        int64_t ms = 77;
        assert_int_equal(text_parse_duration(bad[i], &ms), -1);
    }
}

static void integers(void **state)
{
    (void)state;
    int64_t n = 77;
    assert_int_equal(text_parse_int("512", 1, 512, &n), 0);
    assert_int_equal(n, 512);
    assert_int_equal(text_parse_int("-3", -3, 0, &n), 0);
    assert_int_equal(n, -3);
    static const char *const bad[] = {
        "", "0", "513", "-1", "+1", " 1", "1 ", "1.0", "0x1", "--1", "99999999999999999999"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(text_parse_int(bad[i], 1, 512, &n), -1);
    assert_int_equal(n, -3);
}

static void hex_and_base64(void **state)
{
    (void)state;
    char out[64];
    text_hex((const unsigned char *)"\x00\xff\x1a", 3, out);
    assert_string_equal(out, "00ff1a");
    /* RFC 4648, 10 */
    static const char *const rows[][2] = {{"", ""},
                                          {"f", "Zg=="},
                                          {"fo", "Zm8="},
                                          {"foo", "Zm9v"},
                                          {"foob", "Zm9vYg=="},
                                          {"fooba", "Zm9vYmE="},
                                          {"foobar", "Zm9vYmFy"}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        unsigned char back[16];
        size_t len = strlen(rows[i][0]);
        text_base64((const unsigned char *)rows[i][0], len, out);
        assert_string_equal(out, rows[i][1]);
        assert_int_equal(text_unbase64(out, strlen(out), back), len);
        assert_memory_equal(back, rows[i][0], len);
    }
    static const char *const bad[] = {"Z",        "Zg",       "Zg=",  "Zh==",  "Zm9=",
                                      "Z===",     "====",     "Zm 9", "Zm9\n", "Zm-_",
                                      "Zg==Zm9v", "Zm9vZg=v", "=Zg="};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        unsigned char back[16];
        if (text_unbase64(bad[i], strlen(bad[i]), back) >= 0)
            fail_msg("accepted: %s", bad[i]);
    }
    unsigned char back[16];
    assert_int_equal(text_unbase64("Zm\0v", 4, back), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(utf8),
        cmocka_unit_test(printable),
        cmocka_unit_test(json_quote),
        cmocka_unit_test(sizes),
        cmocka_unit_test(sizes_are_written),
        cmocka_unit_test(durations),
        cmocka_unit_test(integers),
        cmocka_unit_test(hex_and_base64),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
