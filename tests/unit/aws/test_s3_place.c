/* SPDX-License-Identifier: Apache-2.0
 *
 * Where a bucket's requests go, and which names are buckets.
 */
#include "aws/s3_place.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void test_bucket_names(void **state)
{
    (void)state;
    static const char *const good[] = {
        "abc",         "my-bucket",
        "my.bucket.1", "1abc",
        "a--b",        "1.2.3",
        "a1.2.3.4",    "abcdefghijklmnopqrstuvwxyz0123456789-abcdefghijklmnopqrstuvwxyz",
    };
    static const char *const bad[][2] = {
        {"", "3 to 63"},
        {"ab", "3 to 63"},
        {"abcdefghijklmnopqrstuvwxyz0123456789-abcdefghijklmnopqrstuvwxyz0", "3 to 63"},
        {"My-bucket", "only a-z"},
        {"my_bucket", "only a-z"},
        {"my/bucket", "only a-z"},
        {"b\xc3\xbc"
         "cket",
         "only a-z"},
        {"-abc", "begin and end"},
        {"abc.", "begin and end"},
        {"a..b", "two dots"},
        {"192.168.0.1", "IP address"},
        {"xn--abc", "xn--"},
        {"sthree-abc", "sthree-"},
    };
    struct err err = {0};
    for (size_t i = 0; i < COUNT(good); i++)
        if (s3_bucket_check(good[i], &err) < 0)
            fail_msg("%s", err.msg);
    for (size_t i = 0; i < COUNT(bad); i++) {
        err = (struct err){0};
        assert_int_equal(s3_bucket_check(bad[i][0], &err), -1);
        assert_int_equal(err.code, ERR_USAGE);
        if (!strstr(err.msg, bad[i][1]))
            fail_msg("\"%s\" is not in: %s", bad[i][1], err.msg);
    }
}

static void test_places(void **state)
{
    (void)state;
    static const struct {
        const char *bucket, *region, *endpoint;
        enum s3_addressing style;
        const char *origin, *host, *base_path;
        bool https;
    } cases[] = {
        {"b-1", "eu-west-1", NULL, S3_ADDRESS_AUTO, "https://b-1.s3.eu-west-1.amazonaws.com",
         "b-1.s3.eu-west-1.amazonaws.com", "", true},
        {"b-1", "cn-north-1", NULL, S3_ADDRESS_AUTO, "https://b-1.s3.cn-north-1.amazonaws.com.cn",
         "b-1.s3.cn-north-1.amazonaws.com.cn", "", true},
        {"b.1", "eu-west-1", NULL, S3_ADDRESS_AUTO, "https://s3.eu-west-1.amazonaws.com",
         "s3.eu-west-1.amazonaws.com", "/b.1", true},
        {"b-1", "eu-west-1", NULL, S3_ADDRESS_PATH, "https://s3.eu-west-1.amazonaws.com",
         "s3.eu-west-1.amazonaws.com", "/b-1", true},
        {"b.1", "eu-west-1", NULL, S3_ADDRESS_VIRTUAL, "https://b.1.s3.eu-west-1.amazonaws.com",
         "b.1.s3.eu-west-1.amazonaws.com", "", true},
        {"b-1", "x", "http://127.0.0.1:9000", S3_ADDRESS_AUTO, "http://127.0.0.1:9000",
         "127.0.0.1:9000", "/b-1", false},
        {"b-1", "x", "http://[::1]:9000/", S3_ADDRESS_AUTO, "http://[::1]:9000", "[::1]:9000",
         "/b-1", false},
        {"b-1", "x", "https://Store.example/behind/it//", S3_ADDRESS_AUTO, "https://store.example",
         "store.example", "/behind/it/b-1", true},
        {"b-1", "x", "https://store.example:8443/it", S3_ADDRESS_VIRTUAL,
         "https://b-1.store.example:8443", "b-1.store.example:8443", "/it", true},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct s3_place place;
        struct err err = {0};
        if (s3_place_init(&place, cases[i].bucket, cases[i].region, cases[i].endpoint,
                          cases[i].style, &err) < 0)
            fail_msg("%s", err.msg);
        assert_string_equal(place.origin, cases[i].origin);
        assert_string_equal(place.host, cases[i].host);
        assert_string_equal(place.base_path, cases[i].base_path);
        assert_int_equal(place.https, cases[i].https);
        s3_place_release(&place);
    }
}

static void test_no_places(void **state)
{
    (void)state;
    static const struct {
        const char *region, *endpoint;
        enum s3_addressing style;
        const char *why;
    } cases[] = {
        {"eu west", NULL, S3_ADDRESS_AUTO, "no region"},
        {"", NULL, S3_ADDRESS_AUTO, "no region"},
        {"a/b", NULL, S3_ADDRESS_AUTO, "no region"},
        {"x", "ftp://store.example", S3_ADDRESS_AUTO, "endpoint: "},
        {"x", "store.example", S3_ADDRESS_AUTO, "endpoint: "},
        {"x", "https://store.example/?a=b", S3_ADDRESS_AUTO, "has a query"},
        {"x", "http://127.0.0.1:9000", S3_ADDRESS_VIRTUAL, "--addressing-style path"},
        {"x", "http://[::1]:9000", S3_ADDRESS_VIRTUAL, "--addressing-style path"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct s3_place place;
        struct err err = {0};
        assert_int_equal(s3_place_init(&place, "bucket", cases[i].region, cases[i].endpoint,
                                       cases[i].style, &err),
                         -1);
        assert_int_equal(err.code, ERR_USAGE);
        if (!strstr(err.msg, cases[i].why))
            fail_msg("\"%s\" is not in: %s", cases[i].why, err.msg);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bucket_names),
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_no_places),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
