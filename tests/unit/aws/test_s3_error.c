/* SPDX-License-Identifier: Apache-2.0
 *
 * What a store's refusals become: code, status, and what the message must say.
 */
#include "aws/s3_error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/clock.h"

#define XML "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
#define ERROR(code)                                                                                \
    XML "<Error><Code>" code "</Code><Message></Message><RequestId>1</RequestId></Error>"

static struct err set_of(const char *operation, const struct s3_answer *answer)
{
    struct s3_context ctx = {
        .operation = operation,
        .what = "s3://buck/k",
        .bucket = "buck",
        .endpoint = "https://store.example",
        .region = "us-east-1",
        .provider = "environment",
    };
    struct err err = {0};
    s3_error_set(&err, &ctx, answer);
    return err;
}

struct expected {
    const char *operation;
    int status;
    const char *body;
    enum err_code code;
    bool retryable;
    const char *says[3];
};

static void check(const struct expected *e, const struct s3_answer *answer)
{
    struct err err = set_of(e->operation, answer);
    if (err.code != e->code || err_is_retryable(&err) != e->retryable)
        fail_msg("%d %s became %s (%s): %s", e->status, e->body, err_name(err.code),
                 err_is_retryable(&err) ? "retryable" : "final", err.msg);
    for (size_t i = 0; i < 3 && e->says[i]; i++)
        if (!strstr(err.msg, e->says[i]))
            fail_msg("\"%s\" is not in: %s", e->says[i], err.msg);
}

static void check_all(const struct expected *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct s3_answer answer = {
            .status = cases[i].status, .body = cases[i].body, .body_len = strlen(cases[i].body)};
        check(&cases[i], &answer);
    }
}

static void test_codes(void **state)
{
    (void)state;
    static const struct expected cases[] = {
        {"PutObject",
         404,
         ERROR("NoSuchBucket"),
         ERR_DESTINATION,
         false,
         {"bucket buck does not exist", "https://store.example"}},
        {"GetObject", 404, ERROR("NoSuchKey"), ERR_NOT_FOUND, false, {"s3://buck/k"}},
        {"UploadPart", 404, ERROR("NoSuchUpload"), ERR_PROTOCOL, true, {"upload is gone"}},
        {"PutObject", 412, ERROR("PreconditionFailed"), ERR_EXISTS, false, {"s3://buck/k"}},
        {"PutObject", 412, "", ERR_EXISTS, false, {"412"}},
        {"PutObject",
         403,
         ERROR("InvalidAccessKeyId"),
         ERR_AUTH,
         false,
         {"access key from environment", "--endpoint-url"}},
        {"PutObject",
         403,
         ERROR("SignatureDoesNotMatch"),
         ERR_AUTH,
         false,
         {"secret access key from environment"}},
        {"PutObject",
         400,
         ERROR("ExpiredToken"),
         ERR_AUTH,
         false,
         {"session token", "environment"}},
        {"PutObject",
         403,
         XML "<Error><Code>AccessDenied</Code><Message>not you</Message></Error>",
         ERR_AUTH,
         false,
         {"AccessDenied: not you", "s3:PutObject", "environment"}},
        {"GetObject", 403, ERROR("AccessDenied"), ERR_AUTH, false, {"a missing key is denied too"}},
        {"PutObject", 403, ERROR("RequestTimeTooSkewed"), ERR_CONFIG, false, {"clock"}},
        {"PutObject", 503, ERROR("SlowDown"), ERR_HTTP, true, {"SlowDown"}},
        {"PutObject", 500, ERROR("InternalError"), ERR_HTTP, true, {"InternalError"}},
        {"PutObject", 400, ERROR("RequestTimeout"), ERR_HTTP, true, {"RequestTimeout"}},
        {"CompleteMultipartUpload", 200, ERROR("InternalError"), ERR_HTTP, true, {"InternalError"}},
        {"CompleteMultipartUpload", 200, ERROR("SlowDown"), ERR_HTTP, true, {"SlowDown"}},
        {"PutObject", 502, "<html>bad gateway", ERR_HTTP, true, {"502"}},
        {"PutObject", 429, "", ERR_HTTP, true, {"429"}},
        {"PutObject", 307, ERROR("TemporaryRedirect"), ERR_HTTP, true, {"TemporaryRedirect"}},
        {"PutObject", 400, ERROR("BadDigest"), ERR_INTEGRITY, true, {"BadDigest"}},
        {"PutObject", 403, ERROR("QuotaExceeded"), ERR_DESTINATION, false, {"QuotaExceeded"}},
        {"PutObject", 501, ERROR("NotImplemented"), ERR_DESTINATION, false, {"NotImplemented"}},
        {"PutObject",
         400,
         XML "<Error><Code>EntityTooLarge</Code><Message>5 GiB</Message></Error>",
         ERR_HTTP,
         false,
         {"EntityTooLarge: 5 GiB", "PutObject"}},
        {"ListObjectsV2",
         403,
         "<ErrorResponse><Error><Code>AccessDenied</Code></Error>"
         "</ErrorResponse>",
         ERR_AUTH,
         false,
         {"AccessDenied"}},
    };
    check_all(cases, sizeof(cases) / sizeof(cases[0]));
}

static void test_conflicts_and_regions(void **state)
{
    (void)state;
    static const struct expected cases[] = {
        {"PutObject",
         409,
         ERROR("ConditionalRequestConflict"),
         ERR_PROTOCOL,
         true,
         {"s3://buck/k", "another write"}},
        {"PutObject", 409, ERROR("OperationAborted"), ERR_PROTOCOL, true, {"another write"}},
        {"PutObject", 409, "", ERR_PROTOCOL, true, {"another write"}},
        {"PutObject", 409, ERROR("BucketNotEmpty"), ERR_HTTP, false, {"BucketNotEmpty"}},
        {"PutObject",
         400,
         XML "<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-3"
             "</Region></Error>",
         ERR_DESTINATION,
         false,
         {"--region eu-west-3", "us-east-1"}},
        {"PutObject",
         400,
         ERROR("AuthorizationHeaderMalformed"),
         ERR_AUTH,
         false,
         {"AuthorizationHeaderMalformed"}},
        {"PutObject",
         301,
         XML "<Error><Code>PermanentRedirect</Code><Endpoint>b.s3.example"
             "</Endpoint></Error>",
         ERR_DESTINATION,
         false,
         {"at b.s3.example"}},
        {"PutObject",
         301,
         XML "<Error><Code>PermanentRedirect</Code><Region>us-east-1</Region></Error>",
         ERR_DESTINATION,
         false,
         {"is in region us-east-1, and https://store.example does not serve that"}},
    };
    check_all(cases, sizeof(cases) / sizeof(cases[0]));
}

static void test_permissions(void **state)
{
    (void)state;
    static const struct expected cases[] = {
        {"ListObjectsV2", 403, ERROR("AccessDenied"), ERR_AUTH, false, {"s3:ListBucket"}},
        {"ListMultipartUploads",
         403,
         ERROR("AccessDenied"),
         ERR_AUTH,
         false,
         {"s3:ListBucketMultipartUploads"}},
        {"ListParts", 403, ERROR("AccessDenied"), ERR_AUTH, false, {"s3:ListMultipartUploadParts"}},
    };
    check_all(cases, sizeof(cases) / sizeof(cases[0]));
}

static void test_head(void **state)
{
    (void)state;
    static const struct expected cases[] = {
        {"HeadObject", 404, "", ERR_NOT_FOUND, false, {"s3://buck/k"}},
        {"HeadObject", 403, "", ERR_AUTH, false, {"environment", "us-east-1", "s3:ListBucket"}},
        {"HeadObject", 400, "", ERR_AUTH, false, {"400"}},
        {"HeadObject", 301, "", ERR_DESTINATION, false, {"us-east-1", "--region"}},
        {"HeadObject", 503, "", ERR_HTTP, true, {"503"}},
        {"HeadObject", 405, "", ERR_DESTINATION, false, {"is it an S3 service?"}},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct s3_answer answer = {.status = cases[i].status, .head = true, .body = ""};
        check(&cases[i], &answer);
    }
    static const struct expected elsewhere = {"HeadObject",    400,   "",
                                              ERR_DESTINATION, false, {"--region eu-west-3"}};
    struct s3_answer answer = {
        .status = 400, .head = true, .body = "", .bucket_region = "eu-west-3"};
    check(&elsewhere, &answer);
}

static void test_what_is_not_s3(void **state)
{
    (void)state;
    static const struct expected cases[] = {
        {"PutObject",
         404,
         "<html><body>no</body></html>",
         ERR_DESTINATION,
         false,
         {"answered 404 with text/html", "https://store.example", "--endpoint-url"}},
        {"PutObject", 403, "plain", ERR_DESTINATION, false, {"is it an S3 service?"}},
        {"PutObject", 404, "", ERR_DESTINATION, false, {"is it an S3 service?"}},
        {"PutObject", 404, "<!DOCTYPE html><html></html>", ERR_DESTINATION, false, {"text/html"}},
        {"HeadObject", 404, "", ERR_DESTINATION, false, {"text/html"}},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct s3_answer answer = {.status = cases[i].status,
                                   .content_type = "text/html; charset=utf-8",
                                   .head = strcmp(cases[i].operation, "HeadObject") == 0,
                                   .body = cases[i].body,
                                   .body_len = strlen(cases[i].body)};
        check(&cases[i], &answer);
    }
}

static void test_half_an_answer(void **state)
{
    (void)state;
    static const struct expected cases[] = {
        {"GetObject", 404, "", ERR_PROTOCOL, true, {"404", "XML that is broken"}},
        {"GetObject", 404, "<?x", ERR_PROTOCOL, true, {"https://store.example"}},
        {"GetObject", 404, XML "<Error><Code>NoSuchKey", ERR_PROTOCOL, true, {"s3://buck/k"}},
        {"PutObject", 403, "<Error><Code>AccessDenied</Code>", ERR_PROTOCOL, true, {"PutObject"}},
        {"PutObject", 503, XML "<Error><Code>Slo", ERR_HTTP, true, {"503"}},
        {"PutObject", 404, "<html></html>", ERR_DESTINATION, false, {"is it an S3 service?"}},
        {"HeadObject", 404, "", ERR_NOT_FOUND, false, {"s3://buck/k"}},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct s3_answer answer = {.status = cases[i].status,
                                   .content_type = "application/xml;charset=UTF-8",
                                   .head = strcmp(cases[i].operation, "HeadObject") == 0,
                                   .body = cases[i].body,
                                   .body_len = strlen(cases[i].body)};
        check(&cases[i], &answer);
    }
}

static void test_clock(void **state)
{
    (void)state;
    char date[DATE_TEXT_SIZE];
    static const char body[] = ERROR("RequestTimeTooSkewed");
    struct s3_answer answer = {
        .status = 403, .date = date, .body = body, .body_len = sizeof(body) - 1};
    date_format_http(clock_wall_ms() - 2 * 3600 * 1000, date);
    struct err err = set_of("PutObject", &answer);
    assert_non_null(strstr(err.msg, "ahead"));
    assert_non_null(strstr(err.msg, " 720"));
    date_format_http(clock_wall_ms() + 2 * 3600 * 1000, date);
    err = set_of("PutObject", &answer);
    assert_non_null(strstr(err.msg, "behind"));
}

/* What a store writes must not fake a line of ours, nor push the remedy out of the message. */
static void test_hostile_text(void **state)
{
    (void)state;
    char body[4096] = "<Error><Code>AccessDenied</Code><Message>\n\nerror: fake&#x1b;";
    size_t n = strlen(body);
    memset(body + n, 'x', 3000);
    memcpy(body + n + 3000, "</Message></Error>", 19);
    struct s3_answer answer = {.status = 403, .body = body, .body_len = strlen(body)};
    struct err err = set_of("PutObject", &answer);
    assert_null(strpbrk(err.msg, "\n\r\x1b"));
    assert_int_equal(err.code, ERR_DESTINATION); /* an escape character: no XML */
    memcpy(strstr(body, "&#x1b;"), "      ", 6);
    err = set_of("PutObject", &answer);
    assert_int_equal(err.code, ERR_AUTH);
    assert_null(strpbrk(err.msg, "\n\r\x1b"));
    assert_non_null(strstr(err.msg, "--profile"));
}

static void test_retry_after(void **state)
{
    (void)state;
    static const char body[] = ERROR("SlowDown");
    struct s3_answer answer = {
        .status = 503, .retry_after_ms = 7000, .body = body, .body_len = sizeof(body) - 1};
    struct err err = set_of("PutObject", &answer);
    assert_int_equal(err.retry_after_ms, 7000);
    assert_int_equal(err.http_status, 503);
}

static void test_gone(void **state)
{
    (void)state;
    static const char *const bodies[] = {ERROR("NoSuchUpload"), ERROR("NoSuchKey"),
                                         ERROR("NoSuchBucket"), "",
                                         XML "<Error><Code>NoSuchUpload"};
    for (size_t i = 0; i < 5; i++) {
        struct s3_answer answer = {.status = 404,
                                   .content_type = "application/xml",
                                   .body = bodies[i],
                                   .body_len = strlen(bodies[i])};
        struct err err = set_of("AbortMultipartUpload", &answer);
        assert_int_equal(s3_error_upload_gone(&err), i < 2);
    }
}

static void test_conflict(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *body;
        bool conflict;
    } cases[] = {
        {409, ERROR("ConditionalRequestConflict"), true},
        {409, ERROR("OperationAborted"), true},
        {200, ERROR("ConditionalRequestConflict"), true},
        {409, "", true},
        {412, ERROR("PreconditionFailed"), false},
        {409, ERROR("PreconditionFailed"), false},
        {404, ERROR("NoSuchUpload"), false},
        {400, ERROR("InvalidPart"), false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct s3_answer answer = {
            .status = cases[i].status, .body = cases[i].body, .body_len = strlen(cases[i].body)};
        struct err err = set_of("CompleteMultipartUpload", &answer);
        assert_int_equal(s3_error_conflict(&err), cases[i].conflict);
    }
}

static void test_lesson_of_the_clock(void **state)
{
    (void)state;
    static const int64_t signed_ms = INT64_C(1579532982000);
    static const char date[] = "Mon, 20 Jan 2020 15:09:42 GMT"; /* the same */
    static const struct {
        bool head;
        int status;
        const char *body, *date;
        int64_t off_ms; /* of the store's clock */
        bool teaches;
    } cases[] = {
        {false, 403, ERROR("RequestTimeTooSkewed"), date, 3600000, true},
        {false, 403, ERROR("RequestTimeTooSkewed"), date, -3600000, true},
        {false, 403, ERROR("RequestTimeTooSkewed"), date, 30000, false},
        {false, 403, ERROR("RequestTimeTooSkewed"), NULL, 3600000, false},
        {false, 403, ERROR("RequestTimeTooSkewed"), "yesterday", 3600000, false},
        {false, 403, ERROR("SignatureDoesNotMatch"), date, 3600000, false},
        {false, 403, ERROR("AccessDenied"), date, 3600000, false},
        {false, 403, "", date, 3600000, false},
        {true, 403, "", date, 3600000, true},
        {true, 403, "", date, 14 * 60000, false},
        {true, 400, "", date, 3600000, false},
        {true, 404, "", date, 3600000, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct s3_answer answer = {.status = cases[i].status,
                                   .head = cases[i].head,
                                   .date = cases[i].date,
                                   .body = cases[i].body,
                                   .body_len = strlen(cases[i].body)};
        struct s3_lesson lesson = s3_error_lesson(&answer, signed_ms - cases[i].off_ms);
        if (lesson.now_ms != (cases[i].teaches ? signed_ms : 0) || lesson.region[0])
            fail_msg("case %zu: %lld, \"%s\"", i, (long long)lesson.now_ms, lesson.region);
    }
}

static void test_lesson_of_the_region(void **state)
{
    (void)state;
#define LONG_REGION "a-region-whose-name-is-longer-than-any-that-a-host-name-could-have-in-it"
    static const struct {
        bool head;
        int status;
        const char *body, *header, *region;
    } cases[] = {
        {false, 301, ERROR("PermanentRedirect"), "eu-west-3", "eu-west-3"},
        {false, 301, XML "<Error><Code>PermanentRedirect</Code><Region>eu-west-3</Region></Error>",
         NULL, "eu-west-3"},
        {false, 301, ERROR("PermanentRedirect"), NULL, ""},
        {false, 301, ERROR("PermanentRedirect"), LONG_REGION, ""},
        {false, 400,
         XML "<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-3</Region></Error>",
         NULL, "eu-west-3"},
        {false, 400, ERROR("AuthorizationHeaderMalformed"), NULL, ""},
        {false, 403, ERROR("AccessDenied"), "eu-west-3", ""},
        {false, 307, ERROR("TemporaryRedirect"), "eu-west-3", "eu-west-3"},
        {false, 307, ERROR("TemporaryRedirect"), NULL, ""},
        {true, 307, "", "eu-west-3", "eu-west-3"},
        {true, 301, "", "eu-west-3", "eu-west-3"},
        {true, 400, "", "eu-west-3", "eu-west-3"},
        {true, 400, "", NULL, ""},
        {true, 403, "", "eu-west-3", ""},
        {true, 404, "", "eu-west-3", ""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct s3_answer answer = {.status = cases[i].status,
                                   .head = cases[i].head,
                                   .bucket_region = cases[i].header,
                                   .body = cases[i].body,
                                   .body_len = strlen(cases[i].body)};
        struct s3_lesson lesson = s3_error_lesson(&answer, 0);
        if (strcmp(lesson.region, cases[i].region) != 0 || lesson.now_ms)
            fail_msg("case %zu: \"%s\"", i, lesson.region);
    }
}

static void test_is_error(void **state)
{
    (void)state;
    static const char error[] = ERROR("InternalError");
    assert_true(s3_error_is(error, sizeof(error) - 1));
    assert_false(s3_error_is("", 0));
    assert_false(s3_error_is("<Error/>", 8));
    assert_false(s3_error_is("<R><Error><Code>x</Code></Error></R>", 36));
}

static void test_code(void **state)
{
    (void)state;
    static const char error[] = ERROR("AccessDenied");
    char code[S3_ERROR_CODE_SIZE] = "before";
    s3_error_code(error, sizeof(error) - 1, code);
    assert_string_equal(code, "AccessDenied");
    s3_error_code("<Error><Message>x</Message></Error>", 35, code);
    assert_string_equal(code, "");
    s3_error_code("", 0, code);
    assert_string_equal(code, "");
}

/* What a store lacks: the setting that does without is named, if it is not in force already. */
static void test_settings_that_help(void **state)
{
    (void)state;
#define REFUSED(code, message)                                                                     \
    XML "<Error><Code>" code "</Code><Message>" message "</Message></Error>"
    static const struct {
        int status;
        const char *body;
        bool checksums, conditional;
        enum err_code code;
        const char *says; /* NULL: names no setting */
    } cases[] = {
        {501, REFUSED("NotImplemented", "Header 'x-amz-checksum-algorithm' not implemented"), true,
         true, ERR_DESTINATION, "needs --checksum none: NotImplemented"},
        {400, REFUSED("InvalidArgument", "Unsupported header 'X-Amz-Checksum-Crc32c'"), true, false,
         ERR_DESTINATION, "needs --checksum none: InvalidArgument"},
        {400, REFUSED("InvalidArgument", "Unsupported header 'x-amz-checksum-crc32c'"), false,
         false, ERR_HTTP, NULL},
        {400, REFUSED("BadDigest", "The CRC32C checksum did not match"), true, true, ERR_INTEGRITY,
         NULL},
        {501,
         XML "<Error><Code>NotImplemented</Code><Message>no</Message><Header>If-None-Match"
             "</Header></Error>",
         true, true, ERR_DESTINATION, "needs --conditional-writes off: NotImplemented: no"},
        {501, REFUSED("NotImplemented", ""), true, true, ERR_DESTINATION,
         "needs --conditional-writes off or --checksum none"},
        {501, REFUSED("NotImplemented", ""), false, true, ERR_DESTINATION,
         "needs --conditional-writes off: "},
        {501, REFUSED("NotImplemented", ""), true, false, ERR_DESTINATION,
         "needs --checksum none: "},
        {501, REFUSED("NotImplemented", ""), false, false, ERR_DESTINATION, NULL},
        {412, REFUSED("PreconditionFailed", "If-None-Match"), true, true, ERR_EXISTS, NULL},
        {400, REFUSED("InvalidPart", "All non-trailing parts must have the same length."), true,
         true, ERR_DESTINATION, "needs --part-layout uniform: InvalidPart"},
        {400, REFUSED("InvalidPart", "One or more of the parts could not be found"), true, true,
         ERR_PROTOCOL, NULL},
        {400, REFUSED("InvalidArgument", "Part number must be an integer between 1 and 1000"), true,
         false, ERR_DESTINATION, "needs --max-parts"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct s3_context ctx = {
            "PutObject",        "s3://b/k",          "b", "https://e", "r", "environment",
            cases[i].checksums, cases[i].conditional};
        struct s3_answer answer = {
            .status = cases[i].status, .body = cases[i].body, .body_len = strlen(cases[i].body)};
        struct err err = {0};
        s3_error_set(&err, &ctx, &answer);
        assert_int_equal(err.code, cases[i].code);
        if (!strstr(err.msg, cases[i].says ? cases[i].says : "") ||
            (!cases[i].says && strstr(err.msg, " --")))
            fail_msg("%zu: %s", i, err.msg);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_codes),
        cmocka_unit_test(test_conflicts_and_regions),
        cmocka_unit_test(test_permissions),
        cmocka_unit_test(test_head),
        cmocka_unit_test(test_what_is_not_s3),
        cmocka_unit_test(test_half_an_answer),
        cmocka_unit_test(test_clock),
        cmocka_unit_test(test_hostile_text),
        cmocka_unit_test(test_retry_after),
        cmocka_unit_test(test_gone),
        cmocka_unit_test(test_conflict),
        cmocka_unit_test(test_lesson_of_the_clock),
        cmocka_unit_test(test_lesson_of_the_region),
        cmocka_unit_test(test_is_error),
        cmocka_unit_test(test_code),
        cmocka_unit_test(test_settings_that_help),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
