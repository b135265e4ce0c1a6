/* SPDX-License-Identifier: Apache-2.0
 *
 * test_suggest: slips of the finger find their name; other words find none.
 */
#include "core/suggest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static const char *const names[] = {"fetch",       "invoke", "verify",         "help",
                                    "concurrency", "to",     "connect-timeout"};

static const char *meant(const char *given)
{
    return suggest(given, names, sizeof(names) / sizeof(names[0]));
}

static void slips(void **state)
{
    (void)state;
    assert_string_equal(meant("fetch"), "fetch");
    assert_string_equal(meant("ftech"), "fetch");   /* swapped */
    assert_string_equal(meant("fech"), "fetch");    /* missing */
    assert_string_equal(meant("fetchh"), "fetch");  /* too many */
    assert_string_equal(meant("verity"), "verify"); /* wrong */
    assert_string_equal(meant("hlep"), "help");
}

static void beginnings(void **state)
{
    (void)state;
    assert_string_equal(meant("conc"), "concurrency");
    assert_null(meant("con")); /* of two names */
}

static void strangers(void **state)
{
    (void)state;
    assert_null(meant(""));
    assert_null(meant("of")); /* near "to" only because both are short */
    assert_null(meant("delete"));
    assert_null(
        meant("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
    assert_null(suggest("fetch", NULL, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slips),
        cmocka_unit_test(beginnings),
        cmocka_unit_test(strangers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
