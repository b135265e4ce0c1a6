/* SPDX-License-Identifier: Apache-2.0
 *
 * voxel51_parse: the Platform's answers as they are, as they might be, and as they should not be.
 */
#include "platform/voxel51_parse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/buf.h"
#include "core/clock.h"
#include "core/mem.h"

#define ID    "016f6063-51a1-4948-a827-ce4c31ec53ed"
#define OTHER "11111111-51a1-4948-a827-ce4c31ec53ed"

static const int64_t now_ms = 1579540000000; /* 2020-01-20T17:06:40Z */

static struct source_job parse(const char *members)
{
    struct source_job job = {0};
    struct err err = {0};
    char *text = xprintf("{\"job\":{\"id\":\"" ID "\",%s}}", members);
    if (voxel51_parse_job(text, strlen(text), ID, now_ms, &job, &err) < 0)
        fail_msg("%s: %s", members, err.msg);
    free(text);
    return job;
}

static void all_fields(void **state)
{
    (void)state;
    struct source_job job = parse(
        "\"name\":\"clip.mp4-voxel51/x\",\"state\":\"COMPLETE\",\"archived\":false,"
        "\"expiration_date\":\"2020-01-23T15:00:00.000Z\",\"expired\":false,"
        "\"completion_date\":\"2020-01-20T15:09:42.000Z\",\"failure_type\":\"NONE\","
        "\"output_filename\":\"labels.json\",\"new\":{\"a\":[1e3]},\"n\":99999999999999999999");
    assert_string_equal(job.id, ID);
    assert_string_equal(job.name, "clip.mp4-voxel51/x");
    assert_string_equal(job.state_text, "COMPLETE");
    assert_int_equal(job.state, JOB_COMPLETE);
    assert_null(job.failure);
    assert_false(job.expired);
    assert_int_equal(job.expires_ms, 1579791600000);
    assert_int_equal(job.completed_ms, 1579532982000);
    assert_int_equal(job.n_outputs, 1);
    assert_string_equal(job.outputs[0].name, "labels.json");
    assert_int_equal(job.outputs[0].size, -1);
    source_job_release(&job);
}

static void states(void **state)
{
    (void)state;
    static const struct {
        const char *word;
        enum job_state state;
    } rows[] = {
        {"READY", JOB_UNDERWAY},      {"QUEUED", JOB_UNDERWAY},   {"SCHEDULED", JOB_UNDERWAY},
        {"RUNNING", JOB_UNDERWAY},    {"COMPLETE", JOB_COMPLETE}, {"FAILED", JOB_FAILED},
        {"RETHINKING", JOB_UNDERWAY}, {"complete", JOB_UNDERWAY},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *members = xprintf("\"state\":\"%s\",\"failure_type\":\"ANALYTIC\"", rows[i].word);
        struct source_job job = parse(members);
        assert_int_equal(job.state, rows[i].state);
        assert_string_equal(job.state_text, rows[i].word);
        if (rows[i].state == JOB_FAILED)
            assert_string_equal(job.failure, "ANALYTIC");
        else
            assert_null(job.failure);
        source_job_release(&job);
        free(members);
    }
}

static void expiry(void **state)
{
    (void)state;
    static const struct {
        const char *members;
        bool expired;
    } rows[] = {
        {"\"expired\":true", true},
        {"\"expired\":1", true},
        {"\"expired\":0,\"expiration_date\":\"2020-01-01T00:00:00Z\"", false},
        {"\"expired\":false,\"expiration_date\":\"2020-01-01T00:00:00Z\"", false},
        {"\"expired\":null,\"expiration_date\":\"2020-01-01T00:00:00Z\"", true},
        {"\"expired\":\"no\",\"expiration_date\":\"2020-01-01T00:00:00Z\"", true},
        {"\"expiration_date\":\"2020-01-20T17:06:40Z\"", true},
        {"\"expiration_date\":\"2020-01-20 17:06:40.001\"", false},
        {"\"expiration_date\":\"2020-01-20T18:06:41+01:00\"", false},
        {"\"expiration_date\":\"soon\"", false},
        {"\"expiration_date\":null", false},
        {"\"expiration_date\":7", false},
        {"\"x\":0", false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *members = xprintf("\"state\":\"COMPLETE\",%s", rows[i].members);
        struct source_job job = parse(members);
        if (job.expired != rows[i].expired)
            fail_msg("%s", members);
        source_job_release(&job);
        free(members);
    }
}

static void absent_and_odd_fields(void **state)
{
    (void)state;
    struct source_job job = parse("\"state\":\"COMPLETE\",\"name\":7,\"completion_date\":null,"
                                  "\"output_filename\":null,\"failure_type\":[]");
    assert_string_equal(job.name, "");
    assert_string_equal(job.outputs[0].name, "");
    assert_int_equal(job.completed_ms, 0);
    source_job_release(&job);

    job = parse("\"state\":\"COMPLETE\",\"filename\":\"old.json\"");
    assert_string_equal(job.outputs[0].name, "old.json");
    source_job_release(&job);

    /* long text is cut, between characters */
    char *name = xcalloc(1, 20001);
    for (size_t i = 0; i < 20000; i += 2)
        memcpy(name + i, "\xc3\xa4", 2);
    char *members = xprintf("\"state\":\"A%s\",\"output_filename\":\"x%s\"", name, name);
    job = parse(members);
    assert_int_equal(strlen(job.outputs[0].name), 8191);
    assert_int_equal(strlen(job.state_text), 63);
    source_job_release(&job);
    free(members);
    free(name);

    job = parse("\"state\":\"A\\u001b[2J\\nB\",\"output_filename\":\"a\\n../b\"");
    assert_string_equal(job.state_text, "A?[2J?B");
    assert_string_equal(job.outputs[0].name, "a\n../b"); /* as sent */
    source_job_release(&job);
}

static void what_are_no_details(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "",
        "null",
        "[]",
        "{}",
        "{\"job\":null}",
        "{\"job\":[]}",
        "{\"error\":{\"code\":404,\"message\":\"x\"}}",
        "{\"job\":{\"id\":\"" OTHER "\",\"state\":\"COMPLETE\"}}",
        "{\"job\":{\"state\":\"COMPLETE\"}}",
        "{\"job\":{\"id\":7,\"state\":\"COMPLETE\"}}",
        "{\"job\":{\"id\":\"" ID "\"}}",
        "{\"job\":{\"id\":\"" ID "\",\"state\":null}}",
        "{\"job\":{\"id\":\"" ID "\",\"state\":\"COMPLETE\"}",
        "<html>",
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct source_job job = {0};
        struct err err = {0};
        assert_int_equal(voxel51_parse_job(rows[i], strlen(rows[i]), ID, now_ms, &job, &err), -1);
        assert_int_equal(err.code, ERR_PROTOCOL);
        assert_non_null(strstr(err.msg, "details"));
        assert_null(job.outputs);
    }
}

static void batches(void **state)
{
    (void)state;
    static const struct {
        const char *entry;
        int result, status;
    } rows[] = {
        {"{\"success\":true,\"response\":{\"id\":\"" ID "\",\"state\":\"FAILED\"}}", VOXEL51_JOB,
         0},
        {"{\"success\":1,\"response\":{\"id\":\"" ID "\",\"state\":\"FAILED\"}}", VOXEL51_JOB, 0},
        {"{\"response\":{\"id\":\"" ID "\",\"state\":\"FAILED\"}}", VOXEL51_JOB, 0},
        {"{\"error\":null,\"response\":{\"id\":\"" ID "\",\"state\":\"FAILED\"}}", VOXEL51_JOB, 0},
        {"{\"success\":false,\"error\":{\"code\":404,\"message\":\"gone\"}}", VOXEL51_REFUSED, 404},
        {"{\"error\":{\"code\":403,\"message\":\"gone\"}}", VOXEL51_REFUSED, 403},
        {"{\"success\":0,\"error\":{\"code\":410.0,\"message\":\"gone\"}}", VOXEL51_REFUSED, 410},
        {"{\"success\":false,\"error\":{\"message\":\"gone\"}}", VOXEL51_UNSAID, 0},
        {"{\"success\":false,\"error\":{\"code\":1e99,\"message\":\"gone\"}}", VOXEL51_UNSAID, 0},
        {"{\"success\":false}", VOXEL51_UNSAID, 0},
        {"{\"success\":true}", VOXEL51_UNSAID, 0},
        {"{\"success\":true,\"response\":{\"id\":\"" OTHER "\",\"state\":\"FAILED\"}}",
         VOXEL51_UNSAID, 0},
        {"null", VOXEL51_UNSAID, 0},
        {"{}", VOXEL51_UNSAID, 0},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct source_job jobs[2] = {{{0}}};
        struct voxel51_answer answers[] = {{.id = ID, .job = &jobs[0]},
                                           {.id = "z", .job = &jobs[1]}};
        struct err err = {0};
        char *text = xprintf("{\"responses\":{\"" ID "\":%s,\"w\":{}}}", rows[i].entry);
        assert_int_equal(voxel51_parse_batch(text, strlen(text), now_ms, answers, 2, &err), 0);
        if ((int)answers[0].result != rows[i].result)
            fail_msg("%s: %d", text, (int)answers[0].result);
        assert_int_equal(answers[0].status, rows[i].status);
        assert_string_equal(answers[0].message, rows[i].status ? "gone" : "");
        assert_int_equal(answers[1].result, VOXEL51_UNSAID);
        assert_int_equal(jobs[0].state, rows[i].result == VOXEL51_JOB ? JOB_FAILED : JOB_UNDERWAY);
        source_job_release(&jobs[0]);
        source_job_release(&jobs[1]);
        free(text);
    }
    struct err err = {0};
    assert_int_equal(voxel51_parse_batch("{\"responses\":[]}", 16, now_ms, NULL, 0, &err), -1);
    assert_int_equal(err.code, ERR_PROTOCOL);
}

struct rows {
    size_t n, none;
    char ids[256];
    struct source_job last; /* texts gone */
};

static void on_row(void *arg, const struct source_job *job)
{
    struct rows *r = arg;
    r->n++;
    r->none += !job;
    if (!job)
        return;
    r->last = *job;
    size_t used = strlen(r->ids);
    snprintf(r->ids + used, sizeof(r->ids) - used, "%s=%s ", job->id, job->state_text);
}

static void lists(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t n, none;
        const char *ids;
    } rows[] = {
        {"{\"jobs\":[]}", 0, 0, ""},
        {" { \"jobs\" : [ ] , \"n\" : { \"a\" : [ 1 , { } ] } } \n", 0, 0, ""},
        {"{\"a\":\"}]\\\"\",\"jobs\":[{\"id\":\"x\",\"state\":\"READY\"},{\"id\":\"y\"}],\"b\":-"
         "1e9}",
         2, 0, "x=READY y= "},
        {"{\"jobs\":[{\"id\":\"x\",\"state\":\"A\",\"name\":\"\\u0000\",\"n\":[{}]}]}", 1, 0,
         "x=A "},
        {"{\"jobs\":[{\"id\":\"x\",\"state\":7}]}", 1, 0, "x= "},
        /* one that is no job does not hide the others */
        {"{\"jobs\":[null,7,\"x\",[],{},{\"id\":7},{\"id\":\"a/"
         "b\"},{\"id\":\"a\\u0000b\"},{\"id\":\"\"},"
         "{\"id\":\"x\" \"state\":1},{\"id\":\"x\",\"name\":\"\xff\"},{\"id\":\"z\"}]}",
         12, 11, "z= "},
        /* the same one twice */
        {"{\"jobs\":[{\"id\":\"x\"},{\"id\":\"x\"}]}", 2, 0, "x= x= "},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct err err = {0};
        struct rows r = {0};
        if (voxel51_parse_list(rows[i].text, strlen(rows[i].text), now_ms, on_row, &r, &err) < 0)
            fail_msg("%s", rows[i].text);
        assert_int_equal(r.n, rows[i].n);
        assert_int_equal(r.none, rows[i].none);
        assert_string_equal(r.ids, rows[i].ids);
    }
    struct err err = {0};
    struct rows r = {0};
    static const char full[] =
        "{\"jobs\":[{\"id\":\"x\",\"state\":\"FAILED\",\"expired\":0,"
        "\"expiration_date\":\"2020-01-23T15:00:00.000Z\",\"failure_type\":\"USER\","
        "\"completion_date\":\"2020-01-20T15:09:42Z\"}]}";
    assert_int_equal(voxel51_parse_list(full, strlen(full), now_ms, on_row, &r, &err), 0);
    assert_int_equal(r.last.state, JOB_FAILED);
    assert_false(r.last.expired);
    assert_true(r.last.expires_ms == 1579791600000 && r.last.completed_ms == 1579532982000);
}

static void what_is_no_list(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        " ",
        "{",
        "{}",
        "[]",
        "{\"jobs\"",
        "{\"jobs\":",
        "{\"jobs\":[",
        "{\"jobs\":{}}",
        "{\"jobs\":null}",
        "{\"jobs\":[]",
        "{\"jobs\":[]}x",
        "{\"jobs\":[}",
        "{\"jobs\":[]]",
        "{\"jobs\":[{\"id\":\"x\"}",
        "{\"jobs\":[{\"id\":\"x\"},",
        "{\"jobs\":[{\"id\":\"x\"},]}",
        "{\"jobs\":[{\"id\":\"x",
        "{\"jobs\":[{\"id\":\"x\\",
        "{\"jobs\":[],}",
        "{\"jobs\":[],\"a\"}",
        "{\"jobs\":[] \"a\":1}",
        "{\"a\":{\"jobs\":[]}}",
        "<html>",
        "{\"error\":{\"code\":404}}",
        "{jobs:[]}",
        "{\"jobs\":[:]}",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct err err = {0};
        struct rows r = {0};
        if (voxel51_parse_list(bad[i], strlen(bad[i]), now_ms, on_row, &r, &err) == 0)
            fail_msg("%s", bad[i]);
        assert_int_equal(err.code, ERR_PROTOCOL);
    }
    struct err err = {0};
    struct rows r = {0};
    assert_int_equal(voxel51_parse_list("{\"jobs\":[]}\0", 12, now_ms, on_row, &r, &err), -1);
    /* deeper than a parser would go: skipped without going there */
    struct buf deep = BUF_INIT(1 << 20);
    buf_str_append(&deep, "{\"jobs\":[");
    for (int i = 0; i < 100000; i++)
        buf_byte(&deep, '[');
    for (int i = 0; i < 100000; i++)
        buf_byte(&deep, ']');
    buf_str_append(&deep, ",{\"id\":\"x\"}]}");
    assert_int_equal(voxel51_parse_list(buf_str(&deep), deep.len, now_ms, on_row, &r, &err), 0);
    assert_true(r.n == 2 && r.none == 1);
    buf_release(&deep);
}

static void errors(void **state)
{
    (void)state;
    char message[VOXEL51_MESSAGE_SIZE];
    static const char plain[] = "{\"error\":{\"code\":404,\"message\":\"no\\u001b[31m\\nsuch\"}}";
    assert_true(voxel51_parse_error(plain, strlen(plain), message));
    assert_string_equal(message, "no?[31m?such");
    assert_true(voxel51_parse_error("{\"error\":{}}", 12, message));
    assert_string_equal(message, "");
    assert_false(voxel51_parse_error("<html>", 6, message));
    assert_false(voxel51_parse_error("{\"error\":7}", 11, message));
    char *longer = xprintf("{\"error\":{\"message\":\"%0999d\"}}", 0);
    assert_true(voxel51_parse_error(longer, strlen(longer), message));
    assert_int_equal(strlen(message), VOXEL51_MESSAGE_SIZE - 1);
    free(longer);

    char *url = voxel51_parse_url("{\"url\":\"https://h/x?s\"}", 23);
    assert_string_equal(url, "https://h/x?s");
    free(url);
    assert_null(voxel51_parse_url("{\"url\":\"\"}", 10));
    assert_null(voxel51_parse_url("{\"url\":null}", 12));
    assert_null(voxel51_parse_url("x", 1));
}

static void ranges(void **state)
{
    (void)state;
    struct voxel51_range r;
    assert_int_equal(voxel51_parse_range("bytes 5-9/10", &r), 0);
    assert_true(r.first == 5 && r.last == 9 && r.total == 10);
    assert_int_equal(voxel51_parse_range("bytes 0-0/*", &r), 0);
    assert_true(r.first == 0 && r.last == 0 && r.total == -1);
    assert_int_equal(voxel51_parse_range("Bytes 0-9223372036854775806/9223372036854775807", &r), 0);
    static const char *const bad[] = {
        "",
        "bytes",
        "bytes */10",
        "bytes 5-9",
        "bytes 5-9/",
        "bytes 9-5/10",
        "bytes 5-10/10",
        "bytes 5-9/10 ",
        "bytes -5-9/10",
        "bytes 5-9/10,11-12/13",
        "items 5-9/10",
        "bytes 5-9/**",
        "bytes 0-1/99999999999999999999",
        "bytes +5-9/10",
        "bytes 99999999999999999999-9/10",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (voxel51_parse_range(bad[i], &r) == 0)
            fail_msg("%s", bad[i]);
}

#define MD5 "XrY7u+Ae7tCTyyK7j1rNww=="
#define SHA "X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE="

static void hashes(void **state)
{
    (void)state;
    static const struct {
        const char *value, *crc32c, *md5, *sha256;
    } rows[] = {
        {"crc32c=yZRlqg==", "yZRlqg==", "", ""},
        {"crc32c=yZRlqg==,md5=" MD5, "yZRlqg==", MD5, ""},
        {"md5=" MD5 ", crc32c=yZRlqg==", "yZRlqg==", MD5, ""},
        {"SHA-256=" SHA ",unixsum=30637", "", "", SHA},
        {"sha-256=:" SHA ":, md5=:" MD5 ":;p=1", "", MD5, SHA},
        {"crc32c=c99465aa", "yZRlqg==", "", ""},
        {"crc32c=c99465a", "", "", ""},
        {"sha-512=" SHA, "", "", ""},
        {"md5=" SHA, "", "", ""},
        {"md5=, crc32c", "", "", ""},
        {"md5", "", "", ""},
        {"=,=,,::;;", "", "", ""},
        {"md5=!!!!!!!!!!!!!!!!!!!!!!==", "", "", ""},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct voxel51_hashes h = {0};
        voxel51_add_hashes(&h, rows[i].value);
        assert_string_equal(h.crc32c, rows[i].crc32c);
        assert_string_equal(h.md5, rows[i].md5);
        assert_string_equal(h.sha256, rows[i].sha256);
        assert_false(h.contradictory);
        voxel51_add_hashes(&h, rows[i].value); /* saying it twice is fine */
        assert_false(h.contradictory);
    }
    struct voxel51_hashes h = {0};
    voxel51_add_hashes(&h, "crc32c=yZRlqg==");
    voxel51_add_hashes(&h, "crc32c=AAAAAA==");
    assert_true(h.contradictory);
}

static void header_values(void **state)
{
    (void)state;
    char longest[257] = "";
    memset(longest, 'x', 255);
    assert_non_null(voxel51_clean_value(longest));
    longest[255] = 'x';
    assert_null(voxel51_clean_value(longest));
    assert_string_equal(voxel51_clean_value("text/plain; charset=utf-8"),
                        "text/plain; charset=utf-8");
    assert_null(voxel51_clean_value(NULL));
    assert_null(voxel51_clean_value(""));
    assert_null(voxel51_clean_value("a\tb"));
    assert_null(voxel51_clean_value("a\xc3\xa4"));

    assert_string_equal(voxel51_strong_etag("\"abc\""), "\"abc\"");
    static const char *const none[] = {"W/\"abc\"", "abc", "\"", "\"\"",
                                       "\"a\"b\"",  "\"a", "",   "w/\"a\""};
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
        assert_null(voxel51_strong_etag(none[i]));
    assert_null(voxel51_strong_etag(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_fields),
        cmocka_unit_test(states),
        cmocka_unit_test(expiry),
        cmocka_unit_test(absent_and_odd_fields),
        cmocka_unit_test(what_are_no_details),
        cmocka_unit_test(batches),
        cmocka_unit_test(lists),
        cmocka_unit_test(what_is_no_list),
        cmocka_unit_test(errors),
        cmocka_unit_test(ranges),
        cmocka_unit_test(hashes),
        cmocka_unit_test(header_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
