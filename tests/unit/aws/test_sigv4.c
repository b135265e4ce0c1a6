/* SPDX-License-Identifier: Apache-2.0
 *
 * Signatures, stage by stage, against the figures that AWS has published: the examples of the S3
 * API reference ("Authenticating Requests") and of the SigV4 test suite.
 */
#include "aws/sigv4.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define EMPTY_HASH   "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

enum { HEADERS_MAX = 4 };

/* ---- the S3 API reference ---- */

static const struct aws_credentials s3_keys = {
    .access_key_id = (char *)"AKIAIOSFODNN7EXAMPLE",
    .secret_access_key = (char *)"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
};

#define S3_TIME_MS (1369353600 * (int64_t)1000) /* 20130524T000000Z */
#define S3_SCOPE   "20130524/us-east-1/s3/aws4_request"
#define S3_HOST    "examplebucket.s3.amazonaws.com"

static struct sigv4_request s3_request(void)
{
    return (struct sigv4_request){
        .method = "GET",
        .path = "/",
        .host = S3_HOST,
        .payload_hash = EMPTY_HASH,
        .content_sha256 = true,
        .region = "us-east-1",
        .service = "s3",
        .credentials = &s3_keys,
        .unix_ms = S3_TIME_MS,
    };
}

static const struct s3_case {
    const char *method, *path, *query, *body;
    struct sigv4_header headers[HEADERS_MAX];
    size_t n_headers;
    const char *canonical_request, *canonical_hash, *signed_headers, *signature;
} s3_cases[] = {
    {
        .method = "GET",
        .path = "/test.txt",
        .body = "",
        .headers = {{"Range", "bytes=0-9"}},
        .n_headers = 1,
        .canonical_request = "GET\n/test.txt\n\nhost:" S3_HOST "\nrange:bytes=0-9\n"
                             "x-amz-content-sha256:" EMPTY_HASH "\nx-amz-date:20130524T000000Z\n\n"
                             "host;range;x-amz-content-sha256;x-amz-date\n" EMPTY_HASH,
        .canonical_hash = "7344ae5b7ee6c3e7e6b0fe0640412a37625d1fbfff95c48bbb2dc43964946972",
        .signed_headers = "host;range;x-amz-content-sha256;x-amz-date",
        .signature = "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
    },
    {
        .method = "PUT",
        .path = "/test$file.text",
        .body = "Welcome to Amazon S3.",
        .headers = {{"x-amz-storage-class", "REDUCED_REDUNDANCY"},
                    {"Date", "Fri, 24 May 2013 00:00:00 GMT"}},
        .n_headers = 2,
        .canonical_request =
            "PUT\n/test%24file.text\n\ndate:Fri, 24 May 2013 00:00:00 GMT\nhost:" S3_HOST "\n"
            "x-amz-content-sha256:"
            "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072\n"
            "x-amz-date:20130524T000000Z\nx-amz-storage-class:REDUCED_REDUNDANCY\n\n"
            "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class\n"
            "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
        .canonical_hash = "9e0e90d9c76de8fa5b200d8c849cd5b8dc7a3be3951ddb7f6a76b4158342019d",
        .signed_headers = "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
        .signature = "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
    },
    {
        .method = "GET",
        .path = "/",
        .query = "lifecycle",
        .body = "",
        .canonical_request = "GET\n/\nlifecycle=\nhost:" S3_HOST "\n"
                             "x-amz-content-sha256:" EMPTY_HASH "\nx-amz-date:20130524T000000Z\n\n"
                             "host;x-amz-content-sha256;x-amz-date\n" EMPTY_HASH,
        .canonical_hash = "9766c798316ff2757b517bc739a67f6213b4ab36dd5da2f94eaebf79c77395ca",
        .signed_headers = "host;x-amz-content-sha256;x-amz-date",
        .signature = "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
    },
    {
        .method = "GET",
        .path = "/",
        .query = "prefix=J&max-keys=2",
        .body = "",
        .canonical_request = "GET\n/\nmax-keys=2&prefix=J\nhost:" S3_HOST "\n"
                             "x-amz-content-sha256:" EMPTY_HASH "\nx-amz-date:20130524T000000Z\n\n"
                             "host;x-amz-content-sha256;x-amz-date\n" EMPTY_HASH,
        .canonical_hash = "df57d21db20da04d7fa30298dd4488ba3a2b47ca3a489c74750e0f1e7df1b9b7",
        .signed_headers = "host;x-amz-content-sha256;x-amz-date",
        .signature = "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
    },
};

static void test_s3_examples(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(s3_cases); i++) {
        const struct s3_case *c = &s3_cases[i];
        char hash[SIGV4_HASH_TEXT_SIZE], signature[SIGV4_HASH_TEXT_SIZE], text[400];
        sigv4_hash(c->body, strlen(c->body), hash);
        struct sigv4_request rq = s3_request();
        rq.method = c->method;
        rq.path = c->path;
        rq.query = c->query;
        rq.headers = c->headers;
        rq.n_headers = c->n_headers;
        rq.payload_hash = hash;
        struct buf request = BUF_INIT(4096), names = BUF_INIT(4096), to_sign = BUF_INIT(4096);
        sigv4_canonical_request(&rq, &request, &names);
        assert_string_equal(buf_str(&request), c->canonical_request);
        assert_string_equal(buf_str(&names), c->signed_headers);
        sigv4_string_to_sign(&rq, buf_str(&request), &to_sign);
        snprintf(text, sizeof(text), "AWS4-HMAC-SHA256\n20130524T000000Z\n" S3_SCOPE "\n%s",
                 c->canonical_hash);
        assert_string_equal(buf_str(&to_sign), text);
        sigv4_signature(&rq, buf_str(&to_sign), signature);
        assert_string_equal(signature, c->signature);

        struct sigv4_signed sig;
        sigv4_sign(&rq, &sig);
        snprintf(text, sizeof(text),
                 "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/" S3_SCOPE
                 ", SignedHeaders=%s, Signature=%s",
                 c->signed_headers, c->signature);
        assert_string_equal(sig.authorization, text);
        assert_string_equal(sig.amz_date, "20130524T000000Z");
        assert_string_equal(sig.content_sha256, hash);
        assert_null(sig.security_token);
        sigv4_signed_release(&sig);
        buf_release(&request);
        buf_release(&names);
        buf_release(&to_sign);
    }
}

static void test_s3_presigned_example(void **state)
{
    (void)state;
    struct sigv4_request rq = s3_request();
    rq.path = "/test.txt";
    rq.payload_hash = SIGV4_UNSIGNED_PAYLOAD;
    struct buf query = BUF_INIT(4096);
    sigv4_presign(&rq, 86400, &query);
    assert_string_equal(
        buf_str(&query),
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2F"
        "us-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&"
        "X-Amz-SignedHeaders=host&X-Amz-Signature="
        "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404");
    buf_release(&query);
}

static void test_presign_appends_and_keeps_the_query(void **state)
{
    static const struct sigv4_header headers[] = {{"Range", "bytes=0-9"}};
    struct aws_credentials keys = s3_keys;
    keys.session_token = (char *)"a/b+c==";
    (void)state;
    struct sigv4_request rq = s3_request();
    rq.query = "versionId=a%2fb&acl";
    rq.payload_hash = SIGV4_UNSIGNED_PAYLOAD;
    rq.headers = headers;
    rq.n_headers = 1;
    rq.credentials = &keys;
    struct buf query = BUF_INIT(4096);
    buf_str_append(&query, "?");
    sigv4_presign(&rq, 1, &query);
    assert_memory_equal(buf_str(&query), "?X-Amz-Algorithm=", 17);
    assert_non_null(strstr(buf_str(&query), "&X-Amz-Expires=1&X-Amz-Security-Token=a%2Fb%2Bc%3D%3D&"
                                            "X-Amz-SignedHeaders=host%3Brange&acl=&"
                                            "versionId=a%2Fb&X-Amz-Signature="));
    buf_release(&query);
}

/* ---- the SigV4 test suite: its requests of a path, a query and headers ---- */

/* Left out is its header folded over several lines: HTTP no longer has that, and the suite reads it
 * as several headers. */

static const struct aws_credentials suite_keys = {
    .access_key_id = (char *)"AKIDEXAMPLE",
    .secret_access_key = (char *)"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
};
static const struct aws_credentials suite_session_keys = {
    .access_key_id = (char *)"AKIDEXAMPLE",
    .secret_access_key = (char *)"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
    .session_token = (char *)"6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267",
};

#define SUITE_TIME_MS (1440938160 * (int64_t)1000) /* 20150830T123600Z */
#define UNRESERVED    "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#define VANILLA       "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"

static const struct suite_case {
    const char *name, *path, *query;
    struct sigv4_header headers[HEADERS_MAX];
    size_t n_headers;
    bool session, as_it_is; /* as_it_is: the path is not normalised */
    const char *signature;
} suite_cases[] = {
    {.name = "get-vanilla", .path = "/", .signature = VANILLA},
    {.name = "get-relative-normalized", .path = "/example/..", .signature = VANILLA},
    {.name = "get-relative-relative-normalized",
     .path = "/example1/example2/../..",
     .signature = VANILLA},
    {.name = "get-slash-normalized", .path = "//", .signature = VANILLA},
    {.name = "get-slash-dot-slash-normalized", .path = "/./", .signature = VANILLA},
    {.name = "get-slashes-normalized",
     .path = "//example//",
     .signature = "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84"},
    {.name = "get-space-normalized",
     .path = "/example space/",
     .signature = "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741"},
    {.name = "get-slashes-unnormalized",
     .path = "//example//",
     .as_it_is = true,
     .signature = "87cca117541a147f6df867677d98a7d80dff226d2bfca9e4ffa899665623c7e5"},
    {.name = "get-relative-relative-unnormalized",
     .path = "/example1/example2/../..",
     .as_it_is = true,
     .signature = "dc33e0856fd4baca4d7aa2146c38958283844764f38c74252a333df5e613003b"},
    {.name = "get-space-unnormalized",
     .path = "/example space/",
     .as_it_is = true,
     .signature = "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741"},
    {.name = "get-utf8",
     .path = "/\xe1\x88\xb4",
     .signature = "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"},
    {.name = "get-unreserved",
     .path = "/" UNRESERVED,
     .signature = "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"},
    {.name = "get-vanilla-query", .path = "/", .query = "", .signature = VANILLA},
    {.name = "get-vanilla-empty-query-key",
     .path = "/",
     .query = "Param1=value1",
     .signature = "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb"},
    {.name = "get-vanilla-query-order-key-case",
     .path = "/",
     .query = "Param2=value2&Param1=value1",
     .signature = "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
    {.name = "get-vanilla-query-order-encoded",
     .path = "/",
     .query = "Param-3=Value3&Param=Value2&%E1%88%B4=Value1",
     .signature = "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac"},
    {.name = "get-vanilla-query-unreserved",
     .path = "/",
     .query = UNRESERVED "=" UNRESERVED,
     .signature = "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197"},
    {.name = "get-vanilla-utf8-query",
     .path = "/",
     .query = "\xe1\x88\xb4=bar",
     .signature = "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"},
    {.name = "get-header-key-duplicate",
     .path = "/",
     .headers = {{"My-Header1", "value2"}, {"My-Header1", "value2"}, {"My-Header1", "value1"}},
     .n_headers = 3,
     .signature = "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea"},
    {.name = "get-header-value-order",
     .path = "/",
     .headers = {{"My-Header1", "value4"},
                 {"My-Header1", "value1"},
                 {"My-Header1", "value3"},
                 {"My-Header1", "value2"}},
     .n_headers = 4,
     .signature = "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01"},
    {.name = "get-header-value-trim",
     .path = "/",
     .headers = {{"My-Header1", " value1"}, {"My-Header2", " \"a   b   c\" "}},
     .n_headers = 2,
     .signature = "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"},
    {.name = "get-vanilla-with-session-token",
     .path = "/",
     .session = true,
     .signature = "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8"},
};

static struct sigv4_request suite_request(const struct suite_case *c)
{
    return (struct sigv4_request){
        .method = "GET",
        .path = c->path,
        .query = c->query,
        .headers = c->headers,
        .n_headers = c->n_headers,
        .host = "example.amazonaws.com",
        .payload_hash = EMPTY_HASH,
        .normalize_path = !c->as_it_is,
        .region = "us-east-1",
        .service = "service",
        .credentials = c->session ? &suite_session_keys : &suite_keys,
        .unix_ms = SUITE_TIME_MS,
    };
}

static void test_suite(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(suite_cases); i++) {
        struct sigv4_request rq = suite_request(&suite_cases[i]);
        struct sigv4_signed sig;
        sigv4_sign(&rq, &sig);
        if (!strstr(sig.authorization, suite_cases[i].signature))
            fail_msg("%s: %s", suite_cases[i].name, sig.authorization);
        assert_null(sig.content_sha256);
        if (suite_cases[i].session)
            assert_string_equal(sig.security_token, suite_session_keys.session_token);
        sigv4_signed_release(&sig);
    }
}

static void test_suite_presigned(void **state)
{
    static const struct suite_case plain = {.path = "/", .query = "Param2=value2&Param1=value1"};
    static const struct suite_case session = {.path = "/", .session = true};
    (void)state;
    struct buf query = BUF_INIT(4096);
    struct sigv4_request rq = suite_request(&plain);
    sigv4_presign(&rq, 3600, &query);
    assert_non_null(strstr(buf_str(&query), "&X-Amz-Signature=86012e2c9ad4d77369f5d81c11f75158"
                                            "aae4f895a085212cc6d3f923d300bed5"));
    buf_clear(&query);
    rq = suite_request(&session);
    sigv4_presign(&rq, 3600, &query);
    assert_non_null(strstr(buf_str(&query), "&X-Amz-Signature=7ff2b50b376cb4d151970630573d6291"
                                            "dc128cc5c2a12ffb237f73cc53f67b6c"));
    buf_release(&query);
}

/* ---- a kept key ---- */

static void assert_signature(const struct sigv4_request *rq, struct sigv4_key *key, bool same)
{
    char alone[SIGV4_HASH_TEXT_SIZE], kept[SIGV4_HASH_TEXT_SIZE];
    struct sigv4_request keeping = *rq;
    keeping.key = key;
    sigv4_signature(rq, "text", alone);
    sigv4_signature(&keeping, "text", kept);
    if (same)
        assert_string_equal(kept, alone);
    else
        assert_string_not_equal(kept, alone);
}

static void test_a_kept_key_is_used_again(void **state)
{
    (void)state;
    struct sigv4_key key = {0};
    struct sigv4_request rq = s3_request();
    assert_signature(&rq, &key, true);
    rq.unix_ms += 24 * 60 * 60 * 1000 - 1;
    rq.path = "/another";
    assert_signature(&rq, &key, true);
    key.bytes[0] ^= 1;
    assert_signature(&rq, &key, false);
    sigv4_key_release(&key);
    assert_signature(&rq, &key, true);
    sigv4_key_release(&key);
}

/* A changed key shows where it is used. */
static void test_a_kept_key_is_not_used_for_another_scope(void **state)
{
    static const struct aws_credentials rotated = {
        .access_key_id = (char *)"AKIAIOSFODNN7EXAMPLE",
        .secret_access_key = (char *)"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY2",
    };
    (void)state;
    struct sigv4_request others[6];
    for (size_t i = 0; i < COUNT(others); i++)
        others[i] = s3_request();
    others[0].unix_ms += 24 * 60 * 60 * 1000;
    others[1].unix_ms -= 1;
    others[2].credentials = &rotated;
    others[3].region = "us-east-2";
    others[4].region = "us-east";
    others[5].service = "s3express";
    struct sigv4_key key = {0};
    for (size_t i = 0; i < COUNT(others); i++) {
        struct sigv4_request rq = s3_request();
        assert_signature(&rq, &key, true);
        key.bytes[0] ^= 1;
        assert_signature(&others[i], &key, true);
        key.bytes[0] ^= 1;
        assert_signature(&rq, &key, true);
    }
    sigv4_key_release(&key);
}

/* ---- what no published example covers ---- */

/* Line `number` (0-based) of the canonical request: 1 is the path, 2 the query. */
static void assert_line(const struct sigv4_request *rq, int number, const char *expected)
{
    struct buf request = BUF_INIT(65536), names = BUF_INIT(4096);
    sigv4_canonical_request(rq, &request, &names);
    const char *line = buf_str(&request);
    while (number--)
        line = strchr(line, '\n') + 1;
    size_t len = strcspn(line, "\n");
    if (len != strlen(expected) || memcmp(line, expected, len) != 0)
        fail_msg("\"%.*s\" is not \"%s\"", (int)len, line, expected);
    buf_release(&request);
    buf_release(&names);
}

static void test_s3_paths(void **state)
{
    static const struct {
        const char *wire, *canonical;
    } cases[] = {
        {"", "/"},
        {"/a%20b", "/a%20b"},
        {"/a+b", "/a%2Bb"},
        {"/%7euser/%7E", "/~user/~"},
        {"/%e1%88%b4", "/%E1%88%B4"},
        {"//a//./../b/", "//a//./../b/"},
        {"/100%25", "/100%25"},
        {"/%2525", "/%2525"},
        {"/%41%zz", "/%2541%25zz"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct sigv4_request rq = s3_request();
        rq.path = cases[i].wire;
        assert_line(&rq, 1, cases[i].canonical);
    }
}

static void test_other_services_paths(void **state)
{
    static const struct {
        const char *wire, *canonical;
    } cases[] = {
        {"", "/"},
        {"/a%20b", "/a%2520b"},
        {"/../../a", "/a"},
        {"/a/b/../c/", "/a/c/"},
        {"/a/.", "/a"},
        {"/a/...", "/a/..."},
        {"/..", "/"},
        {"/a/../", "/"},
        {"/.a/..b", "/.a/..b"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct sigv4_request rq = s3_request();
        rq.normalize_path = true;
        rq.path = cases[i].wire;
        assert_line(&rq, 1, cases[i].canonical);
    }
}

static void test_queries(void **state)
{
    static const struct {
        const char *wire, *canonical;
    } cases[] = {
        {NULL, ""},
        {"", ""},
        {"&&", ""},
        {"uploads", "uploads="},
        {"a=2&a=10&a=", "a=&a=10&a=2"},
        {"a-b=1&a=2&a.b=3", "a=2&a-b=1&a.b=3"},
        {"b=%7e+%20&a=x=y", "a=x%3Dy&b=~%2B%20"},
        {"B=1&a=2&A=3", "A=3&B=1&a=2"},
        {"=v", "=v"},
        {"a=%zz", "a=%25zz"},
        {"prefix=a/b", "prefix=a%2Fb"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct sigv4_request rq = s3_request();
        rq.query = cases[i].wire;
        assert_line(&rq, 2, cases[i].canonical);
    }
}

static void test_headers(void **state)
{
    static const struct sigv4_header headers[] = {
        {"X-Amz-Meta-B", "  two  \t blanks\r\n folded  "},
        {"x-amz-meta-a", ""},
        {"Content-Type", "text/plain"},
        {"x-amz-META-a", " "},
    };
    (void)state;
    struct sigv4_request rq = s3_request();
    rq.headers = headers;
    rq.n_headers = COUNT(headers);
    assert_line(&rq, 3, "content-type:text/plain");
    assert_line(&rq, 4, "host:" S3_HOST);
    assert_line(&rq, 7, "x-amz-meta-a:,");
    assert_line(&rq, 8, "x-amz-meta-b:two blanks folded");
    assert_line(&rq, 9, "");
    assert_line(&rq, 10,
                "content-type;host;x-amz-content-sha256;x-amz-date;x-amz-meta-a;"
                "x-amz-meta-b");
}

static void test_stages_respect_caps(void **state)
{
    (void)state;
    struct sigv4_request rq = s3_request();
    struct buf request = BUF_INIT(20), names = BUF_INIT(3);
    sigv4_canonical_request(&rq, &request, &names);
    assert_true(buf_overflowed(&request));
    assert_true(buf_overflowed(&names));
    assert_true(request.len <= 20);
    buf_release(&request);
    buf_release(&names);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_s3_examples),
        cmocka_unit_test(test_s3_presigned_example),
        cmocka_unit_test(test_presign_appends_and_keeps_the_query),
        cmocka_unit_test(test_suite),
        cmocka_unit_test(test_suite_presigned),
        cmocka_unit_test(test_a_kept_key_is_used_again),
        cmocka_unit_test(test_a_kept_key_is_not_used_for_another_scope),
        cmocka_unit_test(test_s3_paths),
        cmocka_unit_test(test_other_services_paths),
        cmocka_unit_test(test_queries),
        cmocka_unit_test(test_headers),
        cmocka_unit_test(test_stages_respect_caps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
