/* SPDX-License-Identifier: Apache-2.0
 *
 * pages: memory of every size that can be written to its last byte.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/pages.h"

enum { MIB = 1024 * 1024 };

static void every_size(void **state)
{
    (void)state;
    static const size_t sizes[] = {0,       1,           4096,    2 * MIB - 1,
                                   2 * MIB, 2 * MIB + 1, 8 * MIB, 13 * MIB};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        char *data = pages_alloc(sizes[i]);
        assert_non_null(data);
        memset(data, 'x', sizes[i]);
        if (sizes[i] >= 2 * MIB)
            assert_int_equal((uintptr_t)data % (2 * MIB), 0);
        free(data);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
