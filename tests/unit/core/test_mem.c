/* SPDX-License-Identifier: Apache-2.0
 *
 * mem: what is formatted comes whole, however long it is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/mem.h"

static void any_length_is_formatted_whole(void **state)
{
    (void)state;
    char text[2049];
    for (size_t len = 0; len < sizeof(text); len++) {
        memset(text, 'x', len);
        if (len)
            text[len - 1] = 'y';
        text[len] = '\0';
        char *s = xprintf("%s", text);
        assert_string_equal(s, text);
        free(s);
    }
}

static void values_are_there_for_the_second_try(void **state)
{
    (void)state;
    char *s = xprintf("%d %300s %s", 1, "two", "three");
    assert_int_equal(strlen(s), 2 + 300 + 6);
    assert_memory_equal(s, "1  ", 3);
    assert_string_equal(s + 2 + 297, "two three");
    free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_length_is_formatted_whole),
        cmocka_unit_test(values_are_there_for_the_second_try),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
