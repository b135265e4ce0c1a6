/* SPDX-License-Identifier: Apache-2.0
 *
 * The S3 sink against a scripted server: prefixes, identity, lost answers, aborts.
 */
#include "sink/sink_s3.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/s3_bench.h"

#define ERROR(code) "<Error><Code>" code "</Code><Message/></Error>"
#define ATTEMPT     "x-amz-meta-egress-attempt: @x-amz-meta-egress-attempt@\r\n"

static const struct scripted_answer taken = {"412 Precondition Failed\r\n",
                                             ERROR("PreconditionFailed")};
static const struct scripted_answer conflict = {"409 Conflict\r\n",
                                                ERROR("ConditionalRequestConflict")};
static const struct scripted_answer missing = {"404 Not Found\r\n", ""};
static const struct scripted_answer begun = {
    "200 OK\r\n",
    "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>"};
static const struct scripted_answer part_kept = {"200 OK\r\nETag: \"p\"\r\n", ""};
static const struct scripted_answer no_upload = {"404 Not Found\r\n", ERROR("NoSuchUpload")};
static const struct scripted_answer aborted = {"204 No Content\r\nContent-Length: 0\r\n", ""};
static const struct scripted_answer lost = {NULL, NULL};

static const struct scripted_answer old = {"200 OK\r\nContent-Length: 9\r\nETag: \"old\"\r\n", ""};
static const struct scripted_answer other = {"200 OK\r\nContent-Length: 9\r\nETag: \"x\"\r\n", ""};

static const struct sink_object object = {
    .key = "j/out.json",
    .content_type = "application/json",
    .identity = {"voxel51", "job-1", "out.json"},
    .condition = SINK_IF_ABSENT,
};

static void start_put(struct s3_bench *b, const struct sink_object *o, char etag[128])
{
    b->sink->ops->put(b->sink, o, "hello", 5, 0, etag, s3_bench_done, b);
}

/* ---- keys and what is known of them ---- */

static void test_prefix(void **state)
{
    (void)state;
    static const char *const prefixes[][2] = {{NULL, ""},   {"", ""},        {"p", "p/"},
                                              {"p/", "p/"}, {"p/q", "p/q/"}, {"p//", "p//"}};
    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
        struct s3_bench b = {.config = {.prefix = prefixes[i][0]}};
        char page[512], expected[128];
        const char *before = prefixes[i][1];
        snprintf(page, sizeof(page),
                 "<ListBucketResult><Contents><Key>%sj/1</Key></Contents><Contents><Key>%s</Key>"
                 "</Contents><Contents><Key>elsewhere</Key></Contents></ListBucketResult>",
                 before, *before ? before : "j/2");
        const struct scripted_answer answers[] = {missing, {"200 OK\r\n", page}};
        struct sink_stat stat;
        struct buf where = BUF_INIT(256);
        s3_bench_open(&b, answers, 2);
        b.sink->ops->stat(b.sink, "j/1", &stat, s3_bench_done, &b);
        s3_bench_ok(&b);
        assert_false(stat.exists);
        b.sink->ops->list(b.sink, "j", s3_bench_key, s3_bench_done, &b);
        s3_bench_ok(&b);
        assert_string_equal(buf_str(&b.seen), *before ? "j/1|" : "j/1|j/2|elsewhere|");
        b.sink->ops->locate(b.sink, "j/1", &where);
        snprintf(expected, sizeof(expected), "s3://buck/%sj/1", before);
        assert_string_equal(buf_str(&where), expected);
        buf_release(&where);
        s3_bench_stop(&b, 2);
        snprintf(expected, sizeof(expected), "HEAD /buck/%sj/1 HTTP/1.1\r\n", before);
        s3_bench_sent(&b, 0, expected);
        s3_bench_free(&b);
    }
}

static void test_no_such_prefix(void **state)
{
    (void)state;
    char prefix[1100];
    memset(prefix, 'p', sizeof(prefix));
    prefix[sizeof(prefix) - 1] = '\0';
    struct s3_config config = {.bucket = "buck", .prefix = prefix};
    struct err err = {0};
    assert_null(sink_s3_new(NULL, &config, &err));
    assert_int_equal(err.code, ERR_USAGE);
    config.prefix = "a\xff";
    assert_null(sink_s3_new(NULL, &config, &err));
    assert_non_null(strstr(err.msg, "UTF-8"));
}

static void test_stat(void **state)
{
    (void)state;
    static const struct scripted_answer answers[] = {
        {"200 OK\r\nContent-Length: 5\r\nETag: \"e\"\r\nx-amz-checksum-crc32c: yZRlqg==\r\n"
         "x-amz-meta-egress-source: voxel51\r\nx-amz-meta-egress-job: job-1\r\n",
         ""},
        {"200 OK\r\nContent-Length: 5\r\nETag: \"e\"\r\nx-amz-meta-egress-source: voxel51\r\n"
         "x-amz-meta-egress-job: a/b\r\n",
         ""},
        {"403 Forbidden\r\n", ""},
    };
    struct s3_bench b = {0};
    struct sink_stat stat;
    s3_bench_open(&b, answers, 3);
    b.sink->ops->stat(b.sink, "k", &stat, s3_bench_done, &b);
    s3_bench_ok(&b);
    assert_true(stat.exists && stat.has_crc32c);
    assert_int_equal(stat.size, 5);
    assert_int_equal(stat.crc32c, 0xc99465aa);
    assert_string_equal(stat.etag, "\"e\"");
    assert_string_equal(stat.source, "voxel51");
    assert_string_equal(stat.job, "job-1");
    b.sink->ops->stat(b.sink, "k", &stat, s3_bench_done, &b);
    s3_bench_ok(&b);
    assert_true(stat.exists);
    assert_string_equal(stat.source, "");
    assert_string_equal(stat.job, "");
    b.sink->ops->stat(b.sink, "k", &stat, s3_bench_done, &b);
    s3_bench_fails(&b, ERR_AUTH, "environment");
    s3_bench_close(&b, 3);
}

/* ---- answers that were lost ---- */

static void test_put_whose_answer_was_lost(void **state)
{
    (void)state;
    const struct scripted_answer answers[] = {
        lost,
        taken,
        {"200 OK\r\nContent-Length: 5\r\nETag: \"mine\"\r\nx-amz-meta-egress-job: "
         "job-1\r\n" ATTEMPT,
         ""},
    };
    struct s3_bench b = {0};
    char etag[128] = "";
    s3_bench_open(&b, answers, 3);
    start_put(&b, &object, etag);
    s3_bench_ok(&b);
    assert_string_equal(etag, "\"mine\"");
    s3_bench_stop(&b, 3);
    s3_bench_sent(&b, 1, "PUT /buck/j/out.json");
    s3_bench_sent(&b, 2, "HEAD /buck/j/out.json");
    s3_bench_free(&b);
}

/* Same job and size, even: another attempt's is another's. */
static void test_put_on_what_is_taken(void **state)
{
    (void)state;
    const struct scripted_answer answers[] = {
        taken,
        {"200 OK\r\nContent-Length: 5\r\nETag: \"x\"\r\nx-amz-meta-egress-job: job-1\r\n"
         "x-amz-meta-egress-attempt: 00000000000000000000000000000000\r\n",
         ""},
        taken,
        {"200 OK\r\nContent-Length: 6\r\nETag: \"x\"\r\nx-amz-meta-egress-job: job-1\r\n" ATTEMPT,
         ""},
        taken,
        missing,
        taken,
        {"403 Forbidden\r\n", ""},
    };
    struct s3_bench b = {0};
    s3_bench_open(&b, answers, 8);
    start_put(&b, &object, NULL);
    s3_bench_fails(&b, ERR_EXISTS, "s3://buck/j/out.json is taken");
    start_put(&b, &object, NULL);
    s3_bench_fails(&b, ERR_EXISTS, "s3://buck/j/out.json is taken");
    start_put(&b, &object, NULL);
    s3_bench_fails(&b, ERR_PROTOCOL, "then is not there");
    start_put(&b, &object, NULL);
    s3_bench_fails(&b, ERR_AUTH, "whether j/out.json was stored is not known");
    s3_bench_close(&b, 8);
}

static void test_replacing(void **state)
{
    (void)state;
    const struct scripted_answer answers[] = {
        taken, old, part_kept, /* Ceph: the same etag, without quotes */
        taken, old, taken,     old, taken, other, taken, missing,
    };
    struct s3_bench b = {0};
    struct sink_object replacing = object;
    replacing.condition = SINK_IF_MATCH;
    replacing.if_match = "\"old\"";
    s3_bench_open(&b, answers, 11);
    start_put(&b, &replacing, NULL);
    s3_bench_ok(&b);
    start_put(&b, &replacing, NULL);
    s3_bench_fails(&b, ERR_EXISTS, "is taken");
    start_put(&b, &replacing, NULL);
    s3_bench_fails(&b, ERR_EXISTS, "is taken");
    start_put(&b, &replacing, NULL);
    s3_bench_fails(&b, ERR_NOT_FOUND, "does not exist");
    replacing.if_match = NULL; /* never an unconditional write instead */
    start_put(&b, &replacing, NULL);
    s3_bench_fails(&b, ERR_INPUT, "no ETag");
    s3_bench_stop(&b, 11);
    s3_bench_sent(&b, 0, "if-match: \"old\"\r\n");
    s3_bench_sent(&b, 2, "if-match: old\r\n");
    s3_bench_free(&b);
}

/* ---- large objects ---- */

static struct sink_upload *begin(struct s3_bench *b)
{
    struct sink_upload *upload = NULL;
    b->sink->ops->begin(b->sink, &object, &upload, s3_bench_done, b);
    s3_bench_ok(b);
    assert_non_null(upload);
    return upload;
}

static void test_parts_in_any_order(void **state)
{
    (void)state;
    const struct scripted_answer answers[] = {
        begun,
        {"200 OK\r\nETag: \"p3\"\r\n", ""},
        {"200 OK\r\nETag: \"p1\"\r\n", ""},
        {"200 OK\r\nETag: \"p2\"\r\n", ""},
        missing,
        {"200 OK\r\n",
         "<CompleteMultipartUploadResult><ETag>w</ETag></CompleteMultipartUploadResult>"},
    };
    static const uint32_t order[] = {3, 1, 2};
    struct s3_bench b = {.config = {.prefix = "p"}};
    char etag[128] = "";
    s3_bench_open(&b, answers, 6);
    struct sink_upload *upload = begin(&b);
    for (size_t i = 0; i < 3; i++) {
        b.sink->ops->put_part(upload, order[i], 5 * (order[i] - 1), "hello", 5, order[i],
                              s3_bench_done, &b);
        s3_bench_ok(&b);
    }
    b.sink->ops->complete(upload, 3, 15, 0, etag, s3_bench_done, &b);
    s3_bench_ok(&b);
    assert_string_equal(etag, "w");
    b.sink->ops->upload_free(upload);
    s3_bench_stop(&b, 6);
    s3_bench_sent(&b, 0, "POST /buck/p/j/out.json?uploads= HTTP/1.1\r\n");
    s3_bench_sent(&b, 4, "HEAD /buck/p/j/out.json HTTP/1.1\r\n");
    s3_bench_sent(&b, 5, "if-none-match: *\r\n");
    s3_bench_sent(&b, 5,
                  "<Part><PartNumber>1</PartNumber><ETag>&quot;p1&quot;</ETag>"
                  "<ChecksumCRC32C>AAAAAQ==</ChecksumCRC32C></Part>"
                  "<Part><PartNumber>2</PartNumber><ETag>&quot;p2&quot;</ETag>"
                  "<ChecksumCRC32C>AAAAAg==</ChecksumCRC32C></Part>"
                  "<Part><PartNumber>3</PartNumber><ETag>&quot;p3&quot;</ETag>"
                  "<ChecksumCRC32C>AAAAAw==</ChecksumCRC32C></Part>");
    s3_bench_free(&b);
}

static void complete_with(const struct scripted_answer *second, const struct scripted_answer *head,
                          enum err_code code, const char *says)
{
    const struct scripted_answer answers[] = {begun, part_kept, missing, lost, *second, *head};
    struct s3_bench b = {0};
    s3_bench_open(&b, answers, 6);
    struct sink_upload *upload = begin(&b);
    b.sink->ops->put_part(upload, 1, 0, "hello", 5, 0, s3_bench_done, &b);
    s3_bench_ok(&b);
    b.sink->ops->complete(upload, 1, 5, 0, NULL, s3_bench_done, &b);
    s3_bench_fails(&b, code, says);
    b.sink->ops->upload_free(upload);
    s3_bench_close(&b, 6);
}

static void test_complete_whose_answer_was_lost(void **state)
{
    (void)state;
    static const struct scripted_answer mine = {
        "200 OK\r\nContent-Length: 5\r\nETag: \"w\"\r\nx-amz-meta-egress-job: job-1\r\n" ATTEMPT,
        ""};
    static const struct scripted_answer theirs = {
        "200 OK\r\nContent-Length: 5\r\nETag: \"w\"\r\nx-amz-meta-egress-job: job-2\r\n", ""};
    complete_with(&no_upload, &mine, ERR_NONE, "");
    complete_with(&taken, &mine, ERR_NONE, "");
    complete_with(&no_upload, &theirs, ERR_SPENT, "upload is gone");
    complete_with(&no_upload, &missing, ERR_SPENT, "upload is gone");
    complete_with(&conflict, &missing, ERR_SPENT, "another write");
    complete_with(&conflict, &mine, ERR_NONE, "");
    complete_with(&taken, &theirs, ERR_EXISTS, "is taken");
}

/* Some stores ignore conditions there: nothing is sent where the look shows another object. */
static void complete_after(const struct sink_object *o, const struct scripted_answer *head,
                           enum err_code code, const char *says)
{
    const struct scripted_answer answers[] = {begun, part_kept, *head};
    struct s3_bench b = {0};
    struct sink_upload *upload = NULL;
    s3_bench_open(&b, answers, 3);
    b.sink->ops->begin(b.sink, o, &upload, s3_bench_done, &b);
    s3_bench_ok(&b);
    b.sink->ops->put_part(upload, 1, 0, "hello", 5, 0, s3_bench_done, &b);
    s3_bench_ok(&b);
    b.sink->ops->complete(upload, 1, 5, 0, NULL, s3_bench_done, &b);
    s3_bench_fails(&b, code, says);
    b.sink->ops->upload_free(upload);
    s3_bench_close(&b, 3);
}

static void test_look_before_complete(void **state)
{
    (void)state;
    static const struct scripted_answer mine = {
        "200 OK\r\nContent-Length: 5\r\nETag: \"w\"\r\nx-amz-meta-egress-job: job-1\r\n" ATTEMPT,
        ""};
    static const struct scripted_answer denied = {"403 Forbidden\r\n", ""};
    struct sink_object replacing = object;
    replacing.condition = SINK_IF_MATCH;
    replacing.if_match = "\"old\"";
    complete_after(&object, &other, ERR_EXISTS, "s3://buck/j/out.json is taken");
    complete_after(&object, &mine, ERR_NONE, ""); /* another process went on with it */
    complete_after(&object, &denied, ERR_AUTH, "environment");
    complete_after(&replacing, &other, ERR_EXISTS, "s3://buck/j/out.json is taken");
    complete_after(&replacing, &missing, ERR_NOT_FOUND, "does not exist");
}

/* ---- stores that know no conditions ---- */

static void test_no_conditions(void **state)
{
    (void)state;
    const struct scripted_answer answers[] = {
        missing,   part_kept, /* put if absent */
        other,                /* it is there */
        old,       part_kept, /* replaced */
        other,                /* another by now */
        missing,              /* gone by now */
        old,                  /* no etag to compare with */
        part_kept,            /* a receipt: no look */
        old,       aborted,   /* a record taken back */
        other,                /* another's record */
        missing,
    };
    struct s3_bench b = {.config = {.no_conditions = true}};
    struct sink_object o = object;
    size_t n = sizeof(answers) / sizeof(answers[0]);
    s3_bench_open(&b, answers, n);
    start_put(&b, &o, NULL);
    s3_bench_ok(&b);
    start_put(&b, &o, NULL);
    s3_bench_fails(&b, ERR_EXISTS, "s3://buck/j/out.json is taken");
    o.condition = SINK_IF_MATCH;
    o.if_match = "\"old\"";
    start_put(&b, &o, NULL);
    s3_bench_ok(&b);
    start_put(&b, &o, NULL);
    s3_bench_fails(&b, ERR_EXISTS, "s3://buck/j/out.json is taken");
    start_put(&b, &o, NULL);
    s3_bench_fails(&b, ERR_NOT_FOUND, "does not exist");
    o.if_match = NULL;
    start_put(&b, &o, NULL);
    s3_bench_fails(&b, ERR_EXISTS, "s3://buck/j/out.json is taken");
    o.condition = SINK_ALWAYS;
    start_put(&b, &o, NULL);
    s3_bench_ok(&b);
    for (int i = 0; i < 3; i++) {
        b.sink->ops->remove(b.sink, "r", "\"old\"", s3_bench_done, &b);
        s3_bench_ok(&b);
    }
    s3_bench_stop(&b, n);
    for (size_t i = 0; i < n; i++) {
        s3_bench_not_sent(&b, i, "if-none-match");
        s3_bench_not_sent(&b, i, "if-match");
    }
    s3_bench_sent(&b, 4, "PUT /buck/j/out.json");
    s3_bench_sent(&b, 10, "DELETE /buck/r HTTP/1.1\r\n");
    s3_bench_free(&b);
}

static void test_limits(void **state)
{
    (void)state;
    struct s3_bench b = {0}, few = {.config = {.parts_max = 3, .equal_parts = true}};
    s3_bench_open(&b, NULL, 0);
    assert_int_equal(b.sink->limits.parts_max, 10000);
    assert_false(b.sink->limits.equal_parts);
    s3_bench_close(&b, 0);
    s3_bench_open(&few, NULL, 0);
    assert_int_equal(few.sink->limits.parts_max, 3);
    assert_true(few.sink->limits.equal_parts && few.sink->limits.keeps_identity);
    s3_bench_close(&few, 0);
}

static void abort_with(const struct scripted_answer *answers, size_t n, enum err_code code)
{
    struct s3_bench b = {0};
    s3_bench_open(&b, answers, n);
    struct sink_upload *upload = begin(&b);
    b.sink->ops->abort(upload, s3_bench_done, &b);
    s3_bench_fails(&b, code, "");
    b.sink->ops->upload_free(upload);
    s3_bench_close(&b, n);
}

static void test_abort(void **state)
{
    (void)state;
    static const struct scripted_answer no_key = {"404 Not Found\r\n", ERROR("NoSuchKey")};
    static const struct scripted_answer no_bucket = {"404 Not Found\r\n", ERROR("NoSuchBucket")};
    abort_with((const struct scripted_answer[]){begun, aborted}, 2, ERR_NONE);
    abort_with((const struct scripted_answer[]){begun, no_upload}, 2, ERR_NONE);
    abort_with((const struct scripted_answer[]){begun, no_key}, 2, ERR_NONE);
    abort_with((const struct scripted_answer[]){begun, no_bucket}, 2, ERR_DESTINATION);
    /* net's two attempts, and then the sink's own second one */
    abort_with((const struct scripted_answer[]){begun, lost, lost, aborted}, 4, ERR_NONE);
}

/* A part that ended without an answer may arrive after the abort. */
static void test_abort_with_parts_in_flight(void **state)
{
    (void)state;
    const struct scripted_answer answers[] = {begun, lost, lost, aborted, aborted, no_upload};
    struct s3_bench b = {0};
    s3_bench_open(&b, answers, 6);
    struct sink_upload *upload = begin(&b);
    b.sink->ops->put_part(upload, 1, 0, "hello", 5, 0, s3_bench_done, &b);
    s3_bench_fails(&b, ERR_NETWORK, "");
    b.sink->ops->abort(upload, s3_bench_done, &b);
    s3_bench_ok(&b);
    b.sink->ops->upload_free(upload);
    s3_bench_stop(&b, 6);
    s3_bench_sent(&b, 5, "DELETE /buck/j/out.json?uploadId=u HTTP/1.1\r\n");
    s3_bench_free(&b);
}

/* An upload that was made must be known, or nobody could abort it. */
static void test_cancelled_begin(void **state)
{
    (void)state;
    const struct scripted_answer answers[] = {begun, aborted};
    struct s3_bench b = {0};
    struct sink_upload *upload = NULL;
    s3_bench_open(&b, answers, 2);
    b.sink->ops->cancel(b.sink->ops->begin(b.sink, &object, &upload, s3_bench_done, &b));
    s3_bench_ok(&b);
    assert_non_null(upload);
    b.sink->ops->abort(upload, s3_bench_done, &b);
    s3_bench_ok(&b);
    b.sink->ops->upload_free(upload);
    s3_bench_close(&b, 2);
}

static void test_cancelled_put(void **state)
{
    (void)state;
    struct s3_bench b = {0};
    s3_bench_open(&b, NULL, 0);
    b.sink->ops->cancel(b.sink->ops->put(b.sink, &object, "hello", 5, 0, NULL, s3_bench_done, &b));
    s3_bench_fails(&b, ERR_CANCELLED, "");
    s3_bench_close(&b, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prefix),
        cmocka_unit_test(test_no_such_prefix),
        cmocka_unit_test(test_stat),
        cmocka_unit_test(test_put_whose_answer_was_lost),
        cmocka_unit_test(test_put_on_what_is_taken),
        cmocka_unit_test(test_replacing),
        cmocka_unit_test(test_parts_in_any_order),
        cmocka_unit_test(test_complete_whose_answer_was_lost),
        cmocka_unit_test(test_look_before_complete),
        cmocka_unit_test(test_no_conditions),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_abort),
        cmocka_unit_test(test_abort_with_parts_in_flight),
        cmocka_unit_test(test_cancelled_begin),
        cmocka_unit_test(test_cancelled_put),
    };
    return cmocka_run_group_tests(tests, s3_bench_set_up, NULL);
}
