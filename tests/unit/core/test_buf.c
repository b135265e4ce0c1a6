/* SPDX-License-Identifier: Apache-2.0
 *
 * buf: the cap holds, and what went over it is remembered.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/buf.h"
#include "core/mem.h"

static void nothing_appended_is_an_empty_string(void **state)
{
    (void)state;
    struct buf b = BUF_INIT(10);
    assert_string_equal(buf_str(&b), "");
    char *taken = buf_take(&b);
    assert_string_equal(taken, "");
    free(taken);
    buf_release(&b);
}

static void appends_up_to_the_cap(void **state)
{
    (void)state;
    struct buf b = BUF_INIT(10);
    assert_int_equal(buf_append(&b, "12345", 5), 0);
    assert_int_equal(buf_printf(&b, "%d%s", 678, "9"), 0);
    assert_int_equal(buf_byte(&b, '0'), 0);
    assert_string_equal(buf_str(&b), "1234567890");
    assert_false(buf_overflowed(&b));
    buf_release(&b);
}

static void what_goes_over_the_cap_is_left_out_whole(void **state)
{
    (void)state;
    struct buf b = BUF_INIT(10);
    assert_int_equal(buf_str_append(&b, "12345678"), 0);
    assert_int_equal(buf_str_append(&b, "abc"), -1);
    assert_int_equal(buf_printf(&b, "%s", "abc"), -1);
    assert_string_equal(buf_str(&b), "12345678");
    assert_int_equal(buf_str_append(&b, "90"), 0);
    assert_int_equal(buf_byte(&b, '!'), -1);
    assert_string_equal(buf_str(&b), "1234567890");
    assert_true(buf_overflowed(&b));
    buf_clear(&b);
    assert_false(buf_overflowed(&b));
    assert_string_equal(buf_str(&b), "");
    assert_int_equal(buf_str_append(&b, "again"), 0);
    buf_release(&b);
}

static void formats_more_than_there_is_room_for(void **state)
{
    (void)state;
    char expected[300];
    struct buf b = BUF_INIT(1000);
    assert_int_equal(buf_str_append(&b, "begin "), 0); /* has some room from here on */
    assert_int_equal(buf_printf(&b, "%250d%c", 7, '!'), 0);
    snprintf(expected, sizeof(expected), "begin %250d!", 7);
    assert_string_equal(buf_str(&b), expected);
    assert_int_equal(b.len, strlen(expected));
    assert_int_equal(buf_printf(&b, "%990d", 7), -1);
    assert_string_equal(buf_str(&b), expected);
    buf_release(&b);
}

static void keeps_nul_bytes(void **state)
{
    (void)state;
    struct buf b = BUF_INIT(100);
    assert_int_equal(buf_append(&b, "a\0b", 3), 0);
    assert_int_equal(buf_append(&b, NULL, 0), 0);
    assert_int_equal(b.len, 3);
    assert_memory_equal(b.data, "a\0b", 4);
    buf_release(&b);
}

static void grows_and_is_taken(void **state)
{
    (void)state;
    struct buf b = BUF_INIT(100000);
    for (int i = 0; i < 50000; i++)
        assert_int_equal(buf_byte(&b, (char)('a' + i % 26)), 0);
    char *taken = buf_take(&b);
    assert_int_equal(strlen(taken), 50000);
    assert_int_equal(taken[49999], 'a' + 49999 % 26);
    assert_int_equal(b.len, 0);
    assert_int_equal(b.cap, 100000);
    assert_string_equal(buf_str(&b), "");
    free(taken);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_appended_is_an_empty_string),
        cmocka_unit_test(appends_up_to_the_cap),
        cmocka_unit_test(what_goes_over_the_cap_is_left_out_whole),
        cmocka_unit_test(formats_more_than_there_is_room_for),
        cmocka_unit_test(keeps_nul_bytes),
        cmocka_unit_test(grows_and_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
