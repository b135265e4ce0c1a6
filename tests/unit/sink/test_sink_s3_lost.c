/* SPDX-License-Identifier: Apache-2.0
 *
 * Uploads that were begun and whose ids got lost: which are removed, and which are not touched.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/clock.h"
#include "core/mem.h"
#include "tests/unit/s3_bench.h"

#define UPLOAD(key, id, time)                                                                      \
    "<Upload><Key>" key "</Key><UploadId>" id "</UploadId><Initiated>2020-01-20T15:" time          \
    "Z</Initiated></Upload>"
#define UPLOADS(all) "<ListMultipartUploadsResult>" all "</ListMultipartUploadsResult>"
#define ERROR(code)  "<Error><Code>" code "</Code><Message/></Error>"

static const struct scripted_answer begun = {
    "200 OK\r\nDate: Mon, 20 Jan 2020 15:09:42 GMT\r\n",
    "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>"};
static const struct scripted_answer part_kept = {"200 OK\r\nETag: \"p\"\r\n", ""};
static const struct scripted_answer completed = {
    "200 OK\r\n", "<CompleteMultipartUploadResult><ETag>w</ETag></CompleteMultipartUploadResult>"};
static const struct scripted_answer aborted = {"204 No Content\r\nContent-Length: 0\r\n", ""};
static const struct scripted_answer lost = {NULL, NULL};
static const struct scripted_answer no_parts = {"200 OK\r\n", "<ListPartsResult/>"};
static const struct scripted_answer one_part = {
    "200 OK\r\n", "<ListPartsResult><Part><PartNumber>1</PartNumber><Size>5</Size><ETag>e</ETag>"
                  "</Part></ListPartsResult>"};
static const struct scripted_answer denied = {"403 Forbidden\r\n", ERROR("AccessDenied")};

static const struct sink_object object = {
    .key = "k",
    .identity = {"voxel51", "job-1", "out.json"},
    .condition = SINK_ALWAYS, /* no look before the completion: that is test_sink_s3's */
};

/* Begins (with an answer lost, or not), sends a part, completes or aborts. */
static void run_with(struct s3_bench *b, const struct sink_object *of,
                     const struct scripted_answer *answers, size_t n, bool abort)
{
    struct sink_upload *upload = NULL;
    s3_bench_open(b, answers, n);
    b->sink->ops->begin(b->sink, of, &upload, s3_bench_done, b);
    s3_bench_ok(b);
    b->sink->ops->put_part(upload, 1, 0, "hello", 5, 0, s3_bench_done, b);
    s3_bench_ok(b);
    if (abort)
        b->sink->ops->abort(upload, s3_bench_done, b);
    else
        b->sink->ops->complete(upload, 1, 5, 0, NULL, s3_bench_done, b);
    s3_bench_ok(b);
    b->sink->ops->upload_free(upload);
    s3_bench_stop(b, n);
}

static void run(struct s3_bench *b, const struct scripted_answer *answers, size_t n, bool abort)
{
    run_with(b, &object, answers, n, abort);
}

static void test_nothing_is_asked_when_nothing_got_lost(void **state)
{
    (void)state;
    struct s3_bench b = {0}, c = {0};
    run(&b, (const struct scripted_answer[]){begun, part_kept, completed}, 3, false);
    s3_bench_free(&b);
    run(&c, (const struct scripted_answer[]){begun, part_kept, aborted}, 3, true);
    s3_bench_free(&c);
}

static void test_lost_one_is_removed(void **state)
{
    (void)state;
    for (unsigned abort = 0; abort < 2; abort++) {
        const struct scripted_answer answers[] = {
            lost,
            begun,
            part_kept,
            abort ? aborted : completed,
            {"200 OK\r\n", UPLOADS(UPLOAD("k", "lost/1", "09:42.000"))},
            no_parts,
            aborted,
        };
        struct s3_bench b = {0};
        run(&b, answers, 7, abort);
        s3_bench_sent(&b, 4, "GET /buck?uploads=&prefix=k HTTP/1.1\r\n");
        s3_bench_sent(&b, 5, "GET /buck/k?uploadId=lost%2F1 HTTP/1.1\r\n");
        s3_bench_sent(&b, 6, "DELETE /buck/k?uploadId=lost%2F1 HTTP/1.1\r\n");
        s3_bench_free(&b);
    }
}

/* Another key's, our own, one begun before or after, one that has a part: nobody's but theirs. */
static void test_those_of_others_stay(void **state)
{
    (void)state;
    const struct scripted_answer answers[] = {
        lost,
        begun,
        part_kept,
        completed,
        {"200 OK\r\n", UPLOADS(UPLOAD("k2", "a", "09:42.000") UPLOAD("k", "u", "09:42.000")
                                   UPLOAD("k", "b", "09:09.000") UPLOAD("k", "c", "09:45.000")
                                       UPLOAD("k", "d", "09:42.000"))},
        one_part,
    };
    struct s3_bench b = {0};
    run(&b, answers, 6, false);
    s3_bench_sent(&b, 5, "GET /buck/k?uploadId=d HTTP/1.1\r\n");
    s3_bench_free(&b);
}

/* What cannot be found out or done does not undo what was stored; the rest is still done. */
static void test_failures_are_no_failure_of_the_transfer(void **state)
{
    (void)state;
    struct s3_bench b = {0}, c = {0};
    run(&b, (const struct scripted_answer[]){lost, begun, part_kept, completed, denied}, 5, false);
    s3_bench_free(&b);
    static const struct scripted_answer three = {
        "200 OK\r\n", UPLOADS(UPLOAD("k", "a", "09:42.000") UPLOAD("k", "b", "09:42.000")
                                  UPLOAD("k", "c", "09:42.000"))};
    static const struct scripted_answer gone = {"404 Not Found\r\n", ERROR("NoSuchUpload")};
    run(&c,
        (const struct scripted_answer[]){lost, begun, part_kept, completed, three, gone, denied,
                                         no_parts, aborted},
        9, false);
    s3_bench_sent(&c, 8, "DELETE /buck/k?uploadId=a HTTP/1.1\r\n");
    s3_bench_free(&c);
}

/* Where no request was answered in a way that is of use, by the local clock. */
static void test_begin_that_fails_removes_what_it_may_leave(void **state)
{
    (void)state;
    static const struct scripted_answer half = {"200 OK\r\nContent-Type: application/xml\r\n",
                                                "<InitiateMultipartUploadResult><Uploa"};
    for (unsigned i = 0; i < 2; i++) {
        char now[DATE_TEXT_SIZE];
        date_format_iso8601(clock_wall_ms() + 1000, now);
        char *list =
            xprintf("<ListMultipartUploadsResult><Upload><Key>k</Key><UploadId>a</UploadId>"
                    "<Initiated>%s</Initiated></Upload>" UPLOAD(
                        "k", "b", "09:42.000") "</ListMultipartUploadsResult>",
                    now);
        const struct scripted_answer uploads = {"200 OK\r\n", list};
        const struct scripted_answer unanswered[] = {lost, lost, uploads, no_parts, aborted};
        const struct scripted_answer useless[] = {half, uploads, no_parts, aborted};
        size_t n = i ? 4 : 5;
        struct s3_bench b = {0};
        struct sink_upload *upload = NULL;
        s3_bench_open(&b, i ? useless : unanswered, n);
        b.sink->ops->begin(b.sink, &object, &upload, s3_bench_done, &b);
        s3_bench_fails(&b, i ? ERR_PROTOCOL : ERR_NETWORK, "");
        assert_null(upload);
        s3_bench_stop(&b, n);
        s3_bench_sent(&b, n - 2, "GET /buck/k?uploadId=a HTTP/1.1\r\n");
        s3_bench_sent(&b, n - 1, "DELETE /buck/k?uploadId=a HTTP/1.1\r\n");
        s3_bench_free(&b);
        free(list);
    }
}

static void abort_unnamed(struct s3_bench *b, const struct scripted_answer *answers, size_t n)
{
    s3_bench_open(b, answers, n);
    b->sink->ops->abort_unnamed(b->sink, "k", s3_bench_done, b);
    s3_bench_ok(b);
    s3_bench_stop(b, n);
}

/* Whenever they were begun. What has a part somebody is at work on. */
static void test_those_without_a_name_are_removed(void **state)
{
    (void)state;
    struct s3_bench b = {0};
    const struct scripted_answer answers[] = {
        {"200 OK\r\n", UPLOADS(UPLOAD("k", "a", "09:42.000") UPLOAD("k/2", "b", "09:42.000")
                                   UPLOAD("k", "c", "01:00.000"))},
        no_parts,
        aborted,
        one_part,
    };
    abort_unnamed(&b, answers, 4);
    s3_bench_sent(&b, 0, "GET /buck?uploads=&prefix=k HTTP/1.1\r\n");
    s3_bench_sent(&b, 1, "GET /buck/k?uploadId=c HTTP/1.1\r\n");
    s3_bench_sent(&b, 2, "DELETE /buck/k?uploadId=c HTTP/1.1\r\n");
    s3_bench_sent(&b, 3, "GET /buck/k?uploadId=a HTTP/1.1\r\n");
    s3_bench_free(&b);
}

static void test_those_without_a_name_may_stay(void **state)
{
    (void)state;
    struct s3_bench b = {0}, c = {0}, d = {0};
    static const struct scripted_answer none = {"200 OK\r\n", UPLOADS("")};
    static const struct scripted_answer two = {
        "200 OK\r\n", UPLOADS(UPLOAD("k", "a", "09:42.000") UPLOAD("k", "b", "09:42.000"))};
    abort_unnamed(&b, &none, 1);
    s3_bench_free(&b);
    abort_unnamed(&c, &denied, 1);
    s3_bench_free(&c);
    abort_unnamed(&d, (const struct scripted_answer[]){two, denied, no_parts, aborted}, 4);
    s3_bench_sent(&d, 3, "DELETE /buck/k?uploadId=a HTTP/1.1\r\n");
    s3_bench_free(&d);
}

/* An upload of a job that was tried before: when it has ended, however it did, others of the key
 * without a part are what that try has left. */
static void test_tried_before_removes_others_at_its_end(void **state)
{
    (void)state;
    struct sink_object tried = object;
    tried.tried_before = true;
    for (unsigned abort = 0; abort < 2; abort++) {
        const struct scripted_answer answers[] = {
            begun,
            part_kept,
            abort ? aborted : completed,
            {"200 OK\r\n", UPLOADS(UPLOAD("k", "u", "09:42.000") UPLOAD("k", "a", "01:00.000"))},
            no_parts,
            aborted,
        };
        struct s3_bench b = {0};
        run_with(&b, &tried, answers, 6, abort);
        s3_bench_sent(&b, 4, "GET /buck/k?uploadId=a HTTP/1.1\r\n");
        s3_bench_sent(&b, 5, "DELETE /buck/k?uploadId=a HTTP/1.1\r\n");
        s3_bench_free(&b);
    }
}

static void test_begin_that_is_refused_leaves_nothing(void **state)
{
    (void)state;
    struct s3_bench b = {0};
    struct sink_upload *upload = NULL;
    s3_bench_open(&b, &denied, 1);
    b.sink->ops->begin(b.sink, &object, &upload, s3_bench_done, &b);
    s3_bench_fails(&b, ERR_AUTH, "");
    assert_null(upload);
    s3_bench_close(&b, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_asked_when_nothing_got_lost),
        cmocka_unit_test(test_lost_one_is_removed),
        cmocka_unit_test(test_those_of_others_stay),
        cmocka_unit_test(test_failures_are_no_failure_of_the_transfer),
        cmocka_unit_test(test_begin_that_fails_removes_what_it_may_leave),
        cmocka_unit_test(test_those_without_a_name_are_removed),
        cmocka_unit_test(test_those_without_a_name_may_stay),
        cmocka_unit_test(test_tried_before_removes_others_at_its_end),
        cmocka_unit_test(test_begin_that_is_refused_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, s3_bench_set_up, NULL);
}
