/* SPDX-License-Identifier: Apache-2.0
 *
 * status_jobs: a job, a list of them and a history as JSON, with what strangers wrote into them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>
#include <string.h>

#include "report/status.h"

#define HOSTILE "\"'\\</script>\n\r\t\x01\x1b[2J\x7f<img src=x onerror=alert(1)>\xe2\x80\xa8"

static struct journal_job stored(void)
{
    return (struct journal_job){
        .id = "job-1",
        .state = JOURNAL_STORED,
        .origin = JOURNAL_BY_SYNC,
        .received_ms = INT64_C(1579532983250),
        .expires_ms = INT64_C(1579532983251),
        .claimed_ms = INT64_C(1579532983252),
        .ended_ms = INT64_C(1579532983253),
        .attempts = 2,
        .bytes = UINT64_C(5000000000),
        .objects = (char *)"[{\"key\":\"a b\",\"location\":\"s3://b/a b\",\"size\":5}]",
    };
}

static struct journal_job dead(const char *message)
{
    struct journal_job job = {.id = "job-2",
                              .state = JOURNAL_DEAD,
                              .received_ms = 1,
                              .next_ms = 2,
                              .error_name = "network",
                              .error = (char *)message};
    return job;
}

static json_t *loaded(struct buf *out)
{
    assert_false(buf_overflowed(out));
    assert_null(strpbrk(buf_str(out), "\r\n"));
    json_t *root = json_loadb(out->data, out->len, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(root);
    buf_release(out);
    return root;
}

static json_t *formatted(const struct journal_job *job)
{
    struct buf out = BUF_INIT(STATUS_TEXT_MAX);
    status_format_job(job, &out);
    return loaded(&out);
}

static const char *text_of(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

static void every_member(void **state)
{
    (void)state;
    const struct journal_job job = stored();
    json_t *got = formatted(&job);
    json_t *wanted =
        json_loads("{\"id\":\"job-1\",\"state\":\"stored\",\"origin\":\"sync\","
                   "\"received\":\"2020-01-20T15:09:43.250Z\","
                   "\"expires\":\"2020-01-20T15:09:43.251Z\",\"next_try\":null,"
                   "\"claimed\":\"2020-01-20T15:09:43.252Z\","
                   "\"ended\":\"2020-01-20T15:09:43.253Z\",\"attempts\":2,\"bytes\":5000000000,"
                   "\"error\":null,\"objects\":[{\"key\":\"a b\",\"location\":\"s3://b/a b\","
                   "\"size\":5}]}",
                   0, NULL);
    assert_true(json_equal(got, wanted));
    json_decref(got);
    json_decref(wanted);
}

static void errors_from_outside(void **state)
{
    (void)state;
    struct journal_job job = dead(HOSTILE);
    json_t *root = formatted(&job);
    const json_t *error = json_object_get(root, "error");
    assert_string_equal(text_of(error, "name"), "network");
    assert_string_equal(text_of(error, "message"), HOSTILE);
    assert_string_equal(text_of(root, "origin"), "webhook");
    assert_true(json_is_null(json_object_get(root, "objects")));
    json_decref(root);
    job = dead("\xff-\xed\xa0\x80-\xc0\xaf");
    root = formatted(&job);
    assert_string_equal(
        text_of(json_object_get(root, "error"), "message"),
        "\xef\xbf\xbd-\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd-\xef\xbf\xbd\xef\xbf\xbd");
    json_decref(root);
    job = dead(NULL);
    root = formatted(&job);
    assert_string_equal(text_of(json_object_get(root, "error"), "message"), "");
    json_decref(root);
}

static void objects_of_a_damaged_journal(void **state)
{
    (void)state;
    static const char *const damaged[] = {"", "[", "{}", "1", "[1,]", "[]]", "null", "[\"\xff\"]"};
    for (size_t i = 0; i < sizeof(damaged) / sizeof(damaged[0]); i++) {
        struct journal_job job = stored();
        job.objects = (char *)damaged[i];
        json_t *root = formatted(&job);
        assert_true(json_is_null(json_object_get(root, "objects")));
        json_decref(root);
    }
    struct journal_job job = stored();
    job.objects = (char *)"[ {\"key\":\"\\\"\\u0001\\n<b>\",\n\"location\":\"/d/\\u00e4\"} ]";
    json_t *root = formatted(&job);
    const json_t *object = json_array_get(json_object_get(root, "objects"), 0);
    assert_string_equal(text_of(object, "key"), "\"\x01\n<b>");
    assert_string_equal(text_of(object, "location"), "/d/\xc3\xa4");
    json_decref(root);
}

static void a_page_of_a_list(void **state)
{
    (void)state;
    struct journal_job jobs[] = {stored(), dead("m")};
    struct journal_list list = {.jobs = jobs, .n = 2, .next = "7:\"x\""};
    struct buf out = BUF_INIT(STATUS_TEXT_MAX);
    status_format_list(&list, &out);
    json_t *root = loaded(&out);
    const json_t *got = json_object_get(root, "jobs");
    assert_int_equal(json_array_size(got), 2);
    assert_string_equal(text_of(json_array_get(got, 0), "id"), "job-1");
    assert_string_equal(text_of(json_array_get(got, 1), "state"), "dead");
    assert_string_equal(text_of(root, "next"), "7:\"x\"");
    json_decref(root);

    list = (struct journal_list){.n = 0};
    out = BUF_INIT(STATUS_TEXT_MAX);
    status_format_list(&list, &out);
    root = loaded(&out);
    assert_int_equal(json_array_size(json_object_get(root, "jobs")), 0);
    assert_true(json_is_null(json_object_get(root, "next")));
    json_decref(root);
}

static void a_history(void **state)
{
    (void)state;
    struct journal_entry entries[] = {
        {.at_ms = INT64_C(1579532983250), .what = "received"},
        {.at_ms = INT64_C(1579532983251), .what = "later", .text = (char *)HOSTILE},
    };
    struct journal_get get = {.found = true, .row = dead("m"), .history = entries, .n_history = 2};
    struct buf out = BUF_INIT(STATUS_TEXT_MAX);
    status_format_history(&get, &out);
    json_t *root = loaded(&out);
    assert_string_equal(text_of(json_object_get(root, "job"), "id"), "job-2");
    const json_t *history = json_object_get(root, "history");
    assert_int_equal(json_array_size(history), 2);
    const json_t *first = json_array_get(history, 0), *second = json_array_get(history, 1);
    assert_string_equal(text_of(first, "at"), "2020-01-20T15:09:43.250Z");
    assert_string_equal(text_of(first, "what"), "received");
    assert_true(json_is_null(json_object_get(first, "text")));
    assert_string_equal(text_of(second, "text"), HOSTILE);
    json_decref(root);
}

/* 200 jobs, each with the largest error that there is, every byte of it escaped. */
static void the_largest_page_fits(void **state)
{
    (void)state;
    static char message[JOURNAL_ERROR_MAX];
    static struct journal_job jobs[JOURNAL_PAGE_MAX];
    memset(message, 1, sizeof(message) - 1);
    for (size_t i = 0; i < JOURNAL_PAGE_MAX; i++)
        jobs[i] = dead(message);
    const struct journal_list list = {.jobs = jobs, .n = JOURNAL_PAGE_MAX};
    struct buf out = BUF_INIT(STATUS_TEXT_MAX);
    status_format_list(&list, &out);
    json_decref(loaded(&out));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_member),
        cmocka_unit_test(errors_from_outside),
        cmocka_unit_test(objects_of_a_damaged_journal),
        cmocka_unit_test(a_page_of_a_list),
        cmocka_unit_test(a_history),
        cmocka_unit_test(the_largest_page_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
