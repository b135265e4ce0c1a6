/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "serve/admin_read.h"

static void test_names_of_this_machine(void **state)
{
    (void)state;
    static const char *const ours[] = {"localhost",      "LOCALHOST:8081", "127.0.0.1",
                                       "127.0.0.1:1234", "[::1]",          "[::1]:8081",
                                       "127.0.0.2:8081"};
    static const char *const others[] = {"",
                                         "evil.example",
                                         "evil.example:8081",
                                         "localhost.evil.example",
                                         "127.0.0.1.evil",
                                         "::1",
                                         "127.0.0.2",
                                         "127.0.0.2:8082",
                                         "localhost:8081:1",
                                         "[::1",
                                         "[::1]x:",
                                         "localhost evil",
                                         "127.0.0.1@evil"};
    for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
        assert_true(admin_host_is_local(ours[i], "127.0.0.2:8081"));
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        assert_false(admin_host_is_local(others[i], "127.0.0.2:8081"));
    assert_false(admin_host_is_local(NULL, "127.0.0.2:8081"));
}

static void test_origins(void **state)
{
    (void)state;
    assert_true(admin_origin_is(NULL, "localhost:8081"));
    assert_true(admin_origin_is("http://localhost:8081", "localhost:8081"));
    assert_false(admin_origin_is("http://localhost:8082", "localhost:8081"));
    assert_false(admin_origin_is("http://evil.example", "localhost:8081"));
    assert_false(admin_origin_is("null", "localhost:8081"));
    assert_false(admin_origin_is("http://localhost:8081", NULL));
}

static void test_lists(void **state)
{
    (void)state;
    struct journal_list list = {0};
    struct err err = {0};
    struct admin_list_query query = {0};
    char longer[400];
    assert_int_equal(admin_read_list(&query, &list, &err), 0);
    assert_int_equal(list.state, -1);
    assert_int_equal(list.limit, 50);

    query = (struct admin_list_query){"dead", "200", "ab", "7"};
    assert_int_equal(admin_read_list(&query, &list, &err), 0);
    assert_int_equal(list.state, JOURNAL_DEAD);
    assert_int_equal(list.limit, 200);
    assert_string_equal(list.prefix, "ab");
    assert_string_equal(list.after, "7");

    memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    const struct admin_list_query wrong[] = {{.state = "DEAD"},  {.limit = "0"},
                                             {.limit = "201"},   {.limit = "5x"},
                                             {.prefix = longer}, {.after = longer}};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        err = (struct err){0};
        assert_int_equal(admin_read_list(&wrong[i], &list, &err), -1);
        assert_int_equal(err.code, ERR_INPUT);
    }
}

static int read_retry(const char *text, struct admin_ids *ids, struct err *err)
{
    *err = (struct err){0};
    return admin_read_retry(text, strlen(text), ids, err);
}

static void test_retries(void **state)
{
    (void)state;
    struct admin_ids ids;
    struct err err;
    assert_int_equal(read_retry("{\"jobs\":[\"a-1\",\"b\"]}", &ids, &err), 0);
    assert_int_equal(ids.n, 2);
    assert_string_equal(ids.ids[0], "a-1");
    admin_ids_release(&ids);
    assert_int_equal(read_retry("{\"dead\":true}", &ids, &err), 0);
    assert_null(ids.ids);
    admin_ids_release(&ids);

    static const char *const wrong[] = {"",
                                        "[]",
                                        "{}",
                                        "{\"dead\":false}",
                                        "{\"dead\":1}",
                                        "{\"jobs\":[]}",
                                        "{\"jobs\":\"a\"}",
                                        "{\"jobs\":[1]}",
                                        "{\"jobs\":[\"../a\"]}",
                                        "{\"jobs\":[\"a\",\"\"]}",
                                        "{\"jobs\":[\"a\\u0000b\"]}",
                                        "{\"dead\":true,\"dead\":true}"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_int_equal(read_retry(wrong[i], &ids, &err), -1);
        assert_int_equal(err.code, ERR_INPUT);
        admin_ids_release(&ids);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_of_this_machine),
        cmocka_unit_test(test_origins),
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_retries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
