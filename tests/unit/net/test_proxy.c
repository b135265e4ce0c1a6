/* SPDX-License-Identifier: Apache-2.0
 *
 * Which proxy the environment names for which origin: as curl has it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "net/net_private.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static int clear(void **state)
{
    static const char *const names[] = {"http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY",
                                        "all_proxy",  "ALL_PROXY",  "no_proxy",    "NO_PROXY"};
    (void)state;
    for (size_t i = 0; i < COUNT(names); i++)
        unsetenv(names[i]);
    return 0;
}

static void check(const char *scheme, const char *expected)
{
    const char *proxy = proxy_by_environment(scheme, "h.test");
    if (expected)
        assert_string_equal(proxy, expected);
    else
        assert_null(proxy);
}

static void test_variables(void **state)
{
    (void)state;
    check("http", NULL);
    setenv("HTTP_PROXY", "never", 1);
    check("http", NULL);
    setenv("ALL_PROXY", "A", 1);
    check("http", "A");
    check("https", "A");
    setenv("all_proxy", "a", 1);
    check("http", "a");
    setenv("HTTPS_PROXY", "S", 1);
    check("http", "a");
    check("https", "S");
    setenv("https_proxy", "s", 1);
    check("https", "s");
    setenv("http_proxy", "h", 1);
    check("http", "h");
    setenv("http_proxy", "", 1); /* as if it were not there */
    check("http", "a");
    setenv("NO_PROXY", "h.test", 1);
    check("http", NULL);
    setenv("no_proxy", "other", 1); /* the first of the two that is set */
    check("http", "a");
}

static void test_exceptions(void **state)
{
    static const struct {
        const char *list, *host;
        bool excepted;
    } cases[] = {
        {"*", "h.test", true},
        {"*", "[::1]", true},
        {"h.test", "h.test", true},
        {"H.Test", "h.test", true},
        {".h.test", "h.test", true},
        {"h.test.", "h.test", true},
        {"h.test", "h.test.", true},
        {"h.test", "a.h.test", true},
        {".h.test", "a.h.test", true},
        {"h.test", "ah.test", false},
        {"a.h.test", "h.test", false},
        {"test", "h.test", true},
        {".", "h.test", false},
        {"", "h.test", false},
        {" , ,", "h.test", false},
        {"x,h.test", "h.test", true},
        {"x, h.test ,y", "h.test", true},
        {"x h.test", "h.test", true},
        {"*.test", "h.test", false},
        {"h.test:80", "h.test", false},
        /* addresses */
        {"127.0.0.1", "127.0.0.1", true},
        {"127.0.0.1", "127.0.0.2", false},
        {"0.0.1", "127.0.0.1", false}, /* an address is in no domain */
        {"10.0.0.0/8", "10.1.2.3", true},
        {"10.0.0.0/8", "11.1.2.3", false},
        {"192.0.2.128/25", "192.0.2.200", true},
        {"192.0.2.128/25", "192.0.2.100", false},
        {"192.0.2.1/32", "192.0.2.1", true},
        {"192.0.2.1/32", "192.0.2.2", false},
        {"192.0.2.1/33", "192.0.2.1", false},
        {"192.0.2.1/x", "192.0.2.1", false},
        {"192.0.2.1/", "192.0.2.1", false},
        {"0.0.0.0/0", "192.0.2.1", true},
        {"10.0.0.0/8", "10.test", false},
        {"::1", "[::1]", true},
        {"0:0::1", "[::1]", true},
        {"::1", "[::2]", false},
        {"fd00::/8", "[fd12::3]", true},
        {"fd00::/8", "[fe80::3]", false},
        {"2001:db8::/33", "[2001:db8:7fff::1]", true},
        {"2001:db8::/33", "[2001:db8:8000::1]", false},
        {"::1/128", "[::1]", true},
        {"::1", "0.0.0.1", false},
    };
    (void)state;
    setenv("http_proxy", "p", 1);
    for (size_t i = 0; i < COUNT(cases); i++) {
        setenv("no_proxy", cases[i].list, 1);
        if (!proxy_by_environment("http", cases[i].host) != cases[i].excepted)
            fail_msg("\"%s\": %s", cases[i].list, cases[i].host);
    }
    char long_list[1000];
    for (size_t i = 0; i < sizeof(long_list); i++)
        long_list[i] = 'x';
    long_list[sizeof(long_list) - 1] = '\0';
    setenv("no_proxy", long_list, 1);
    assert_non_null(proxy_by_environment("http", "xxx"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_variables, clear, clear),
        cmocka_unit_test_setup_teardown(test_exceptions, clear, clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
