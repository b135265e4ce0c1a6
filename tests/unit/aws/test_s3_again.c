/* SPDX-License-Identifier: Apache-2.0
 *
 * S3 calls that are sent once more: signed by another clock or for another region, after a
 * conflict, after an answer that got lost.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "aws/s3.h"
#include "core/clock.h"
#include "tests/unit/s3_bench.h"

#define ERROR(code)           "<Error><Code>" code "</Code><Message/></Error>"
#define ELSEWHERE(code, name) "<Error><Code>" code "</Code><Region>" name "</Region></Error>"
#define IN_2020               "Date: Mon, 20 Jan 2020 15:09:42 GMT\r\n"
#define IN_2031               "Date: Mon, 20 Jan 2031 15:09:42 GMT\r\n"
#define CREATED                                                                                    \
    "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>"

static const struct scripted_answer kept = {"200 OK\r\nETag: \"e\"\r\n", ""};
static const struct scripted_answer found = {"200 OK\r\nETag: \"e\"\r\nContent-Length: 5\r\n", ""};
static const struct scripted_answer skewed = {"403 Forbidden\r\n" IN_2020,
                                              ERROR("RequestTimeTooSkewed")};
static const struct scripted_answer conflict = {"409 Conflict\r\n",
                                                ERROR("ConditionalRequestConflict")};
static const struct scripted_answer lost = {NULL, NULL};
static const struct s3_object object = {.key = "k", .if_none_match = true};

static void put(struct s3_bench *b)
{
    s3_put(b->s3, &object, "hello", 5, 0, NULL, s3_bench_done, b);
}

/* ---- the clock ---- */

static void test_clock_is_learned(void **state)
{
    (void)state;
    const struct scripted_answer answers[] = {skewed, kept, kept};
    struct s3_bench b = {0};
    s3_bench_open(&b, answers, 3);
    put(&b);
    s3_bench_ok(&b);
    put(&b);
    s3_bench_ok(&b);
    s3_bench_stop(&b, 3);
    s3_bench_not_sent(&b, 0, "x-amz-date: 20200120T15");
    s3_bench_sent(&b, 1, "x-amz-date: 20200120T15");
    s3_bench_sent(&b, 1, "\r\n\r\nhello");
    s3_bench_sent(&b, 2, "x-amz-date: 20200120T15");
    s3_bench_free(&b);
}

/* The clock may be set right while we run, or jump: each request learns once. */
static void test_clock_is_learned_anew(void **state)
{
    (void)state;
    const struct scripted_answer answers[] = {
        skewed,
        kept,
        {"403 Forbidden\r\n" IN_2031, ERROR("RequestTimeTooSkewed")},
        kept,
    };
    struct s3_bench b = {0};
    s3_bench_open(&b, answers, 4);
    put(&b);
    s3_bench_ok(&b);
    put(&b);
    s3_bench_ok(&b);
    s3_bench_stop(&b, 4);
    s3_bench_sent(&b, 3, "x-amz-date: 20310120T15");
    s3_bench_free(&b);
}

static void test_clock_of_a_head(void **state)
{
    (void)state;
    const struct scripted_answer answers[] = {
        {"403 Forbidden\r\n" IN_2020, ""}, found, {"403 Forbidden\r\n", ""}};
    struct s3_bench b = {0};
    struct s3_info info;
    s3_bench_open(&b, answers, 3);
    s3_head(b.s3, "k", &info, s3_bench_done, &b);
    s3_bench_ok(&b);
    s3_head(b.s3, "k", &info, s3_bench_done, &b); /* no Date: no reason either */
    s3_bench_fails(&b, ERR_AUTH, "HeadObject is refused");
    s3_bench_stop(&b, 3);
    s3_bench_sent(&b, 1, "x-amz-date: 20200120T15");
    s3_bench_free(&b);
}

static void test_clock_that_cannot_be_learned(void **state)
{
    (void)state;
    const struct scripted_answer answers[] = {
        skewed,
        {"403 Forbidden\r\n" IN_2031, ERROR("RequestTimeTooSkewed")},
        {"403 Forbidden\r\n" IN_2031, ERROR("SignatureDoesNotMatch")},
    };
    struct s3_bench b = {0};
    s3_bench_open(&b, answers, 3);
    put(&b);
    s3_bench_fails(&b, ERR_CONFIG, "clock");
    put(&b);
    s3_bench_fails(&b, ERR_AUTH, "the signature is wrong");
    s3_bench_close(&b, 3);
}

/* ---- the region ---- */

static void test_region_is_followed(void **state)
{
    (void)state;
    static const struct scripted_answer told[] = {
        {"301 Moved\r\nx-amz-bucket-region: eu-west-1\r\n", ERROR("PermanentRedirect")},
        {"301 Moved\r\nLocation: http://elsewhere.example/\r\n",
         "<Error><Code>PermanentRedirect</Code><Endpoint>elsewhere.example</Endpoint>"
         "<Region>eu-west-1</Region></Error>"},
        {"400 Bad Request\r\n", ELSEWHERE("AuthorizationHeaderMalformed", "eu-west-1")},
    };
    for (size_t i = 0; i < sizeof(told) / sizeof(told[0]); i++) {
        const struct scripted_answer answers[] = {told[i], kept, kept};
        struct s3_bench b = {0};
        char host[64];
        s3_bench_open(&b, answers, 3);
        snprintf(host, sizeof(host), "Host: %s\r\n", strstr(b.config.endpoint_url, "127."));
        put(&b);
        s3_bench_ok(&b);
        put(&b);
        s3_bench_ok(&b);
        s3_bench_stop(&b, 3);
        s3_bench_sent(&b, 0, "/us-east-1/s3/aws4_request");
        for (size_t n = 1; n < 3; n++) {
            s3_bench_sent(&b, n, "PUT /buck/k HTTP/1.1\r\n");
            s3_bench_sent(&b, n, host);
            s3_bench_sent(&b, n, "/eu-west-1/s3/aws4_request");
        }
        s3_bench_free(&b);
    }
}

static void test_region_of_a_head(void **state)
{
    (void)state;
    static const char *const heads[] = {"301 Moved\r\nx-amz-bucket-region: eu-west-1\r\n",
                                        "400 Bad Request\r\nx-amz-bucket-region: eu-west-1\r\n"};
    for (size_t i = 0; i < 2; i++) {
        const struct scripted_answer answers[] = {{heads[i], ""}, found};
        struct s3_bench b = {0};
        struct s3_info info;
        s3_bench_open(&b, answers, 2);
        s3_head(b.s3, "k", &info, s3_bench_done, &b);
        s3_bench_ok(&b);
        s3_bench_stop(&b, 2);
        s3_bench_sent(&b, 1, "/eu-west-1/s3/aws4_request");
        s3_bench_free(&b);
    }
}

static void test_region_is_followed_once(void **state)
{
    (void)state;
    const struct scripted_answer answers[] = {
        {"301 Moved\r\n", ELSEWHERE("PermanentRedirect", "eu-west-1")},
        {"301 Moved\r\n", ELSEWHERE("PermanentRedirect", "eu-west-2")},
        {"301 Moved\r\n", ELSEWHERE("PermanentRedirect", "eu-west-1")},
    };
    struct s3_bench b = {0};
    s3_bench_open(&b, answers, 3);
    put(&b);
    s3_bench_fails(&b, ERR_DESTINATION, "in region eu-west-2, not in eu-west-1");
    put(&b);
    s3_bench_fails(&b, ERR_DESTINATION, "correct --endpoint-url");
    s3_bench_close(&b, 3);
}

static void test_region_that_is_none(void **state)
{
    (void)state;
    const struct scripted_answer answers[] = {
        {"301 Moved\r\n", ELSEWHERE("PermanentRedirect", "evil.example/")},
        {"301 Moved\r\n", ELSEWHERE("PermanentRedirect", "a b")},
        {"301 Moved\r\n", ELSEWHERE("PermanentRedirect", "us-east-1")},
        {"301 Moved\r\n", ERROR("PermanentRedirect")},
    };
    struct s3_bench b = {0};
    s3_bench_open(&b, answers, 4);
    for (size_t i = 0; i < 4; i++) {
        put(&b);
        s3_bench_fails(&b, ERR_DESTINATION, "bucket buck is");
    }
    s3_bench_close(&b, 4);
}

struct pair {
    struct s3_bench *b;
    unsigned left;
};

static void one_done(void *arg, const struct err *err)
{
    struct pair *pair = arg;
    assert_null(err);
    if (--pair->left == 0)
        loop_stop(pair->b->loop);
}

/* What was under way when the region became known goes there too. */
static void test_region_of_two_at_once(void **state)
{
    (void)state;
    static const struct scripted_answer moved = {"301 Moved\r\n",
                                                 ELSEWHERE("PermanentRedirect", "eu-west-1")};
    const struct scripted_answer answers[] = {moved, moved, kept, kept};
    struct s3_bench b = {0};
    struct pair pair = {&b, 2};
    s3_bench_open(&b, answers, 4);
    s3_put(b.s3, &object, "hello", 5, 0, NULL, one_done, &pair);
    s3_put(b.s3, &object, "hello", 5, 0, NULL, one_done, &pair);
    loop_run(b.loop);
    assert_int_equal(pair.left, 0);
    s3_bench_close(&b, 4);
}

/* ---- conflicts ---- */

static void test_conflict(void **state)
{
    (void)state;
    const struct scripted_answer answers[] = {
        conflict, {"409 Conflict\r\n", ERROR("OperationAborted")}, kept};
    struct s3_bench b = {0};
    s3_bench_open(&b, answers, 3);
    put(&b);
    s3_bench_ok(&b);
    s3_bench_stop(&b, 3);
    s3_bench_sent(&b, 2, "\r\n\r\nhello");
    s3_bench_free(&b);
}

static void test_conflict_that_stays(void **state)
{
    (void)state;
    const struct scripted_answer answers[] = {conflict, conflict, conflict, conflict, conflict};
    struct s3_bench b = {0};
    s3_bench_open(&b, answers, 5);
    put(&b);
    s3_bench_fails(&b, ERR_PROTOCOL, "another write of it is under way");
    s3_bench_close(&b, 5);
}

static void cancel_it(void *arg)
{
    struct s3_bench *b = arg;
    s3_cancel(b->call);
}

static void test_conflict_whose_wait_is_cancelled(void **state)
{
    (void)state;
    const struct scripted_answer answers[] = {conflict};
    struct s3_bench b = {0};
    struct loop_timer timer = {0};
    s3_bench_open(&b, answers, 1);
    b.call = s3_put(b.s3, &object, "hello", 5, 0, NULL, s3_bench_done, &b);
    loop_timer_start(b.loop, &timer, 100, cancel_it, &b);
    s3_bench_fails(&b, ERR_CANCELLED, "");
    s3_bench_stop(&b, 1);
    s3_bench_free(&b);
}

static void test_conflict_of_a_completion(void **state)
{
    (void)state;
    static char etag[] = "\"p\"";
    static const struct s3_part part = {etag, false, 0};
    static const struct s3_parts parts = {.upload_id = "u", .parts = &part, .n = 1, .size = 5};
    const struct scripted_answer answers[] = {conflict,
                                              {"200 OK\r\n", ERROR("ConditionalRequestConflict")}};
    struct s3_bench b = {0};
    s3_bench_open(&b, answers, 2);
    for (size_t i = 0; i < 2; i++) { /* each is the only one */
        s3_complete_upload(b.s3, &object, &parts, NULL, s3_bench_done, &b);
        s3_bench_fails(&b, ERR_PROTOCOL, "another write of it is under way");
        assert_int_equal(b.err.http_status, 409);
    }
    s3_bench_close(&b, 2);
}

/* ---- answers that got lost ---- */

static void create_with(const struct scripted_answer *first, unsigned expected)
{
    const struct scripted_answer answers[] = {*first, {"200 OK\r\n" IN_2020, CREATED}};
    struct s3_bench b = {0};
    struct s3_created created;
    s3_bench_open(&b, answers, 2);
    s3_create_upload(b.s3, &object, &created, s3_bench_done, &b);
    s3_bench_ok(&b);
    if (created.lost != expected)
        fail_msg("%u instead of %u after %.20s", created.lost, expected,
                 first->head ? first->head : "nothing");
    assert_int_equal(created.to_ms, INT64_C(1579532982000));
    assert_true(created.from_ms <= created.to_ms && created.from_ms > created.to_ms - 30000);
    free(created.upload_id);
    s3_bench_close(&b, 2);
}

static void test_create_that_may_have_been_done_twice(void **state)
{
    (void)state;
    static const struct scripted_answer reset = {NULL, NULL, SCRIPTED_RESET};
    static const struct scripted_answer cut = {"200 OK\r\nContent-Length: 500\r\n", "<Initi"};
    create_with(&lost, 1);
    create_with(&reset, 1);
    create_with(&cut, 1);
    create_with(&(struct scripted_answer){"500 Oh\r\n", ERROR("InternalError")}, 1);
    create_with(&(struct scripted_answer){"502 Oh\r\n", ""}, 1);
    create_with(&(struct scripted_answer){"503 Oh\r\n", ERROR("SlowDown")}, 0);
    create_with(&skewed, 0);
    create_with(&conflict, 0);
}

/* libcurl repeats by itself what a connection that was idle did not answer. */
static void test_create_on_a_connection_that_dies(void **state)
{
    (void)state;
    const struct scripted_answer answers[] = {
        {found.head, "", SCRIPTED_KEEP}, lost, {"200 OK\r\n", CREATED}};
    struct s3_bench b = {0};
    struct s3_info info;
    struct s3_created created;
    s3_bench_open(&b, answers, 3);
    s3_head(b.s3, "k", &info, s3_bench_done, &b);
    s3_bench_ok(&b);
    s3_create_upload(b.s3, &object, &created, s3_bench_done, &b);
    s3_bench_ok(&b);
    assert_int_equal(created.lost, 1);
    assert_true(created.to_ms > clock_wall_ms() - 60000); /* no Date: ours */
    free(created.upload_id);
    s3_bench_close(&b, 3);
}

static void test_create_that_fails(void **state)
{
    (void)state;
    const struct scripted_answer answers[] = {
        lost, lost, {"403 Forbidden\r\n", ERROR("AccessDenied")}};
    struct s3_bench b = {0};
    struct s3_created created;
    s3_bench_open(&b, answers, 3);
    s3_create_upload(b.s3, &object, &created, s3_bench_done, &b);
    s3_bench_fails(&b, ERR_NETWORK, "");
    assert_int_equal(created.lost, 2);
    s3_create_upload(b.s3, &object, &created, s3_bench_done, &b);
    s3_bench_fails(&b, ERR_AUTH, "");
    assert_int_equal(created.lost, 0);
    s3_bench_close(&b, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clock_is_learned),
        cmocka_unit_test(test_clock_is_learned_anew),
        cmocka_unit_test(test_clock_of_a_head),
        cmocka_unit_test(test_clock_that_cannot_be_learned),
        cmocka_unit_test(test_region_is_followed),
        cmocka_unit_test(test_region_of_a_head),
        cmocka_unit_test(test_region_is_followed_once),
        cmocka_unit_test(test_region_that_is_none),
        cmocka_unit_test(test_region_of_two_at_once),
        cmocka_unit_test(test_conflict),
        cmocka_unit_test(test_conflict_that_stays),
        cmocka_unit_test(test_conflict_whose_wait_is_cancelled),
        cmocka_unit_test(test_conflict_of_a_completion),
        cmocka_unit_test(test_create_that_may_have_been_done_twice),
        cmocka_unit_test(test_create_on_a_connection_that_dies),
        cmocka_unit_test(test_create_that_fails),
    };
    return cmocka_run_group_tests(tests, s3_bench_set_up, NULL);
}
