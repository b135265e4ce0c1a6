/* SPDX-License-Identifier: Apache-2.0
 *
 * Percent-encoding, and URLs that are read, told apart, or refused.
 */
#include "net/url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void test_encode(void **state)
{
    static const struct {
        const char *plain;
        bool keep_slash;
        const char *encoded;
    } cases[] = {
        {"", false, ""},
        {"AZaz09-._~", false, "AZaz09-._~"},
        {"a b+c%d", false, "a%20b%2Bc%25d"},
        {"a/b", false, "a%2Fb"},
        {"a//b/../c", true, "a//b/../c"},
        {"\xe1\x88\xb4\xff", true, "%E1%88%B4%FF"},
        {"!*'()$&=;:@,?#[]", false, "%21%2A%27%28%29%24%26%3D%3B%3A%40%2C%3F%23%5B%5D"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct buf out = BUF_INIT(1000);
        url_encode(&out, cases[i].plain, strlen(cases[i].plain), cases[i].keep_slash);
        assert_string_equal(buf_str(&out), cases[i].encoded);
        struct buf back = BUF_INIT(1000);
        assert_int_equal(url_decode(&back, buf_str(&out), out.len), 0);
        assert_string_equal(buf_str(&back), cases[i].plain);
        buf_release(&back);
        buf_release(&out);
    }
}

static void test_every_byte_survives(void **state)
{
    (void)state;
    char all[256];
    for (int i = 0; i < 256; i++)
        all[i] = (char)i;
    struct buf out = BUF_INIT(1000), back = BUF_INIT(1000);
    url_encode(&out, all, sizeof(all), false);
    assert_int_equal(out.len, 66 + 3 * (256 - 66));
    assert_int_equal(url_decode(&back, buf_str(&out), out.len), 0);
    assert_int_equal(back.len, sizeof(all));
    assert_memory_equal(back.data, all, sizeof(all));
    buf_release(&out);
    buf_release(&back);
}

static void test_decode(void **state)
{
    static const char *const malformed[] = {"%", "a%2", "%g0", "%0g", "%%20", "%-1", "100%"};
    (void)state;
    struct buf out = BUF_INIT(100);
    assert_int_equal(url_decode(&out, "%7e%7E+%41", 10), 0);
    assert_string_equal(buf_str(&out), "~~+A");
    for (size_t i = 0; i < COUNT(malformed); i++)
        assert_int_equal(url_decode(&out, malformed[i], strlen(malformed[i])), -1);
    assert_string_equal(buf_str(&out), "~~+A");
    /* Only as far as `len` says, though more would follow. */
    assert_int_equal(url_decode(&out, "%41", 2), -1);
    buf_release(&out);
}

static void test_parse(void **state)
{
    static const struct {
        const char *text, *scheme, *host;
        unsigned port;
        const char *path, *query, *host_header;
    } cases[] = {
        {"http://h", "http", "h", 80, "/", NULL, "h"},
        {"HTTPS://API.Voxel51.com/v1", "https", "api.voxel51.com", 443, "/v1", NULL,
         "api.voxel51.com"},
        {"https://h:443/", "https", "h", 443, "/", NULL, "h"},
        {"http://h:443/", "http", "h", 443, "/", NULL, "h:443"},
        {"http://127.0.0.1:8000/a?b=c?d", "http", "127.0.0.1", 8000, "/a", "b=c?d",
         "127.0.0.1:8000"},
        {"http://h?q=/x", "http", "h", 80, "/", "q=/x", "h"},
        {"http://h/?", "http", "h", 80, "/", "", "h"},
        {"http://[::1]:81/x", "http", "[::1]", 81, "/x", NULL, "[::1]:81"},
        {"http://[2001:DB8::1]/", "http", "[2001:db8::1]", 80, "/", NULL, "[2001:db8::1]"},
        {"https://my_bucket.s3.eu-west-1.amazonaws.com//a/../%7e;b@c:d", "https",
         "my_bucket.s3.eu-west-1.amazonaws.com", 443, "//a/../%7e;b@c:d", NULL,
         "my_bucket.s3.eu-west-1.amazonaws.com"},
        {"http://h/\xe1\x88\xb4", "http", "h", 80, "/\xe1\x88\xb4", NULL, "h"},
        {"http://h:65535/", "http", "h", 65535, "/", NULL, "h:65535"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct url url;
        struct err err = {0};
        assert_int_equal(url_parse(cases[i].text, &url, &err), 0);
        assert_string_equal(url.scheme, cases[i].scheme);
        assert_string_equal(url.host, cases[i].host);
        assert_int_equal(url.port, cases[i].port);
        assert_string_equal(url.path, cases[i].path);
        if (cases[i].query)
            assert_string_equal(url.query, cases[i].query);
        else
            assert_null(url.query);
        struct buf header = BUF_INIT(300);
        url_host_header(&url, &header);
        assert_string_equal(buf_str(&header), cases[i].host_header);
        buf_release(&header);
        url_release(&url);
        url_release(&url);
    }
}

static void test_refused(void **state)
{
    static const char *const cases[] = {
        "",
        "h",
        "//h/",
        "http:/h",
        "http:h",
        "ftp://h/",
        "file:///etc/passwd",
        "httpss://h",
        "javascript://h",
        "http://",
        "http:///x",
        "http://?q",
        "http://:80/",
        "http://u@h/",
        "http://u:p@h/",
        "http://h/#f",
        "http://h#f",
        "http://h:0/",
        "http://h:65536/",
        "http://h:/",
        "http://h:8x/",
        "http://h:+8/",
        "http://h:-8/",
        "http://h:000080/",
        "http://h:1:2/",
        "http://::1/",
        "http://[::1/",
        "http://[]/",
        "http://[h]/",
        "http://[::1]x/",
        "http://[127.0.0.1]/",
        "http://[fe80::1%25eth0]/",
        "http://h h/",
        "http://h/a b",
        "http://h/\r\nX: y",
        "http://h\\@evil/",
        "http://h%2eevil/",
        " http://h/",
        "http://h/\x7f",
        "http://h\xc3\xa4/",
        "http://a*b/",
        "http://a,b/",
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct url url;
        struct err err = {0};
        if (url_parse(cases[i], &url, &err) == 0)
            fail_msg("\"%s\" was accepted", cases[i]);
        assert_int_equal(err.code, ERR_INPUT);
    }
}

static void test_refused_by_length(void **state)
{
    (void)state;
    struct err err = {0};
    struct url url;
    char text[400] = "http://";
    memset(text + 7, 'a', 255);
    assert_int_equal(url_parse(text, &url, &err), 0);
    assert_int_equal(strlen(url.host), 255);
    url_release(&url);
    text[7 + 255] = 'a';
    assert_int_equal(url_parse(text, &url, &err), -1);
    assert_non_null(strstr(err.msg, "255"));
}

static void test_message_has_no_secret(void **state)
{
    static const char *const cases[] = {
        "http://user:hunter2@h/",    "ftp://h/x?sig=hunter2", "user:hunter2@h/x",
        "http://h:x/?token=hunter2", "http://h/x#hunter2",    "http://h:hunter2@x@y/",
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct url url;
        struct err err = {0};
        assert_int_equal(url_parse(cases[i], &url, &err), -1);
        assert_null(strstr(err.msg, "hunter2"));
        assert_non_null(strstr(err.msg, "URL \""));
    }
}

static void test_same_origin(void **state)
{
    static const struct {
        const char *a, *b;
        bool same;
    } cases[] = {
        {"https://h/a?b", "HTTPS://H:443/c", true}, {"http://h", "https://h", false},
        {"http://h", "http://h:8080", false},       {"http://h", "http://i", false},
        {"http://h", "http://h.", false},           {"https://h", "http://h:443", false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct url a, b;
        struct err err = {0};
        assert_int_equal(url_parse(cases[i].a, &a, &err), 0);
        assert_int_equal(url_parse(cases[i].b, &b, &err), 0);
        assert_int_equal(url_same_origin(&a, &b), cases[i].same);
        url_release(&a);
        url_release(&b);
    }
}

static void test_local(void **state)
{
    static const struct {
        const char *host;
        bool local;
    } cases[] = {
        {"localhost", true},
        {"LOCALHOST.", true},
        {"bucket.s3.localhost", true},
        {"127.0.0.1", true},
        {"127.9.9.9", true},
        {"127.0.0.1.", true},
        {"127.1", true},
        {"2130706433", true},
        {"0x7f000001", true},
        {"017700000001", true},
        {"0", true},
        {"0.0.0.0", true},
        {"169.254.169.254", true},
        {"0xa9fea9fe", true},
        {"[::1]", true},
        {"[::]", true},
        {"[fe80::1]", true},
        {"[febf::1]", true},
        {"[::ffff:127.0.0.1]", true},
        {"[::ffff:a9fe:a9fe]", true},
        {"[::127.0.0.1]", true},
        {"[fd00:ec2::254]", true},
        {"[fd00:ec2::23]", true},
        {"[fd00:ec3::254]", false},
        {"notlocalhost", false},
        {"localhost.example.com", false},
        {"127.example.com", false},
        {"10.0.0.1", false},
        {"169.253.1.1", false},
        {"169.255.1.1", false},
        {"128.0.0.1", false},
        {"[fec0::1]", false},
        {"[2001:db8::1]", false},
        {"[::ffff:10.0.0.1]", false},
        {"255.255.255.255", false},
        {"api.voxel51.com", false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        char text[100];
        snprintf(text, sizeof(text), "http://%s/", cases[i].host);
        struct url url;
        struct err err = {0};
        assert_int_equal(url_parse(text, &url, &err), 0);
        if (url_is_local(&url) != cases[i].local)
            fail_msg("%s", cases[i].host);
        url_release(&url);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_encode),
        cmocka_unit_test(test_every_byte_survives),
        cmocka_unit_test(test_decode),
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_refused_by_length),
        cmocka_unit_test(test_message_has_no_secret),
        cmocka_unit_test(test_same_origin),
        cmocka_unit_test(test_local),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
