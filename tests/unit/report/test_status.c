/* SPDX-License-Identifier: Apache-2.0
 *
 * status: a daemon's status as JSON: every member has its value, and text from outside stays text.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>
#include <math.h>
#include <string.h>

#include "report/status.h"

static const int64_t now_ms = INT64_C(1579532983250);
#define NOW "2020-01-20T15:09:43.250Z"

static json_t *formatted(const struct status *s)
{
    struct buf out = BUF_INIT(STATUS_TEXT_MAX);
    status_format_json(s, &out);
    assert_false(buf_overflowed(&out));
    assert_null(strpbrk(buf_str(&out), "\r\n"));
    json_t *root = json_loadb(out.data, out.len, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(root);
    buf_release(&out);
    return root;
}

/* The whole of it, against the text of what it has to be. */
static void assert_is(json_t *got, const char *expected)
{
    json_t *wanted = json_loads(expected, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(wanted);
    if (!json_equal(got, wanted))
        fail_msg("%s", json_dumps(got, JSON_SORT_KEYS));
    json_decref(wanted);
}

static struct status full(void)
{
    return (struct status){
        .version = "1.2.3",
        .now_ms = now_ms,
        .started_ms = now_ms - 1000,
        .destination = "s3://bucket/prefix",
        .platform = "https://api.example",
        .paused = true,
        .jobs = {1, 2, 3, 4, 5, 6},
        .near_expiry = 7,
        .near_ms = 21600000,
        .oldest_ms = now_ms - 60000,
        .soonest_ms = now_ms + 60000,
        .journal_bytes = 8,
        .journal_commits = 9,
        .journal_requests = 10,
        .stored = 11,
        .already = 12,
        .handed_over = 13,
        .failed = 14,
        .later = 15,
        .dead = 16,
        .bytes = UINT64_C(5000000000),
        .seconds_to_expiry_min = 17.25,
        .syncs = 18,
        .syncs_failed = 19,
        .repaired = 20,
        .last_sync_ms = now_ms,
        .next_sync_ms = now_ms + 1,
        .webhooks_accepted = 21,
        .webhooks_known = 22,
        .webhooks_unauthorized = 23,
        .webhooks_rejected = 24,
        .webhooks_unavailable = 25,
        .connections = 26,
        .requests = 27,
        .refused_connections = 28,
        .timed_out = 29,
        .rate_limited = 30,
        .malformed = 31,
        .open_connections = 32,
        .resident_bytes = 33,
        .cpu_ms = 34,
        .descriptors = 35,
        .threads = 36,
        .throughput_slot_s = 10,
    };
}

static void every_member(void **state)
{
    (void)state;
    const struct status_running running[] = {
        {"job-1", now_ms - 500, now_ms + 60000, 100, 200, 3, true},
        {"job-2", now_ms - 400, 0, 0, -1, 0, false},
    };
    const struct status_slot slots[] = {
        {1579532960, 37, 38, 39}, {1579532970, 0, 0, 0}, {1579532980, 0, 0, 1}};
    struct status s = full();
    s.running = running;
    s.n_running = 2;
    s.throughput = slots;
    s.n_throughput = 3;
    json_t *root = formatted(&s);
    assert_is(root,
              "{\"version\":\"1.2.3\",\"now\":\"" NOW "\",\"started\":\"2020-01-20T15:09:42.250Z\","
              "\"destination\":\"s3://bucket/prefix\",\"platform\":\"https://api.example\","
              "\"paused\":true,\"draining\":false,"
              "\"jobs\":{\"waiting\":1,\"ready\":2,\"running\":3,\"stored\":4,\"failed\":5,"
              "\"dead\":6},\"near_expiry\":{\"jobs\":7,\"within_s\":21600},"
              "\"oldest_received\":\"2020-01-20T15:08:43.250Z\","
              "\"soonest_expiry\":\"2020-01-20T15:10:43.250Z\","
              "\"journal\":{\"bytes\":8,\"commits\":9,\"requests\":10},"
              "\"transfers\":{\"stored\":11,\"already_stored\":12,\"handed_over\":13,\"failed\":14,"
              "\"later\":15,\"dead\":16,\"bytes\":5000000000,\"least_seconds_to_expiry\":17.25},"
              "\"sync\":{\"runs\":18,\"failed\":19,\"repaired\":20,\"last\":\"" NOW "\","
              "\"next\":\"2020-01-20T15:09:43.251Z\"},"
              "\"webhooks\":{\"accepted\":21,\"known\":22,\"unauthorized\":23,\"rejected\":24,"
              "\"unavailable\":25},"
              "\"http\":{\"connections\":26,\"requests\":27,\"refused_connections\":28,"
              "\"timed_out\":29,\"rate_limited\":30,\"malformed\":31,\"open_connections\":32},"
              "\"process\":{\"resident_bytes\":33,\"cpu_ms\":34,\"descriptors\":35,\"threads\":36},"
              "\"running\":[{\"id\":\"job-1\",\"started\":\"2020-01-20T15:09:42.750Z\","
              "\"expires\":\"2020-01-20T15:10:43.250Z\",\"received\":100,\"size\":200,"
              "\"attempts\":3,\"moving\":true},{\"id\":\"job-2\","
              "\"started\":\"2020-01-20T15:09:42.850Z\",\"expires\":null,\"received\":0,"
              "\"size\":null,\"attempts\":0,\"moving\":false}],"
              "\"throughput\":{\"slot_s\":10,\"slots\":[{\"began\":\"2020-01-20T15:09:20.000Z\","
              "\"bytes\":37,\"stored\":38,\"failed\":39},{\"began\":\"2020-01-20T15:09:40.000Z\","
              "\"bytes\":0,\"stored\":0,\"failed\":1}]}}");
    json_decref(root);
}

static void what_is_not_known_is_null(void **state)
{
    (void)state;
    struct status s = {.version = "1", .now_ms = now_ms, .seconds_to_expiry_min = -1};
    json_t *root = formatted(&s);
    static const char *const nulls[] = {"started", "destination", "platform", "oldest_received",
                                        "soonest_expiry"};
    for (size_t i = 0; i < sizeof(nulls) / sizeof(nulls[0]); i++)
        assert_true(json_is_null(json_object_get(root, nulls[i])));
    const json_t *sync = json_object_get(root, "sync");
    assert_true(json_is_null(json_object_get(sync, "last")));
    assert_true(json_is_null(json_object_get(sync, "next")));
    const json_t *transfers = json_object_get(root, "transfers");
    assert_true(json_is_null(json_object_get(transfers, "least_seconds_to_expiry")));
    json_decref(root);
    s.seconds_to_expiry_min = (double)NAN;
    root = formatted(&s);
    transfers = json_object_get(root, "transfers");
    assert_true(json_is_null(json_object_get(transfers, "least_seconds_to_expiry")));
    json_decref(root);
}

static void hostile_text_stays_text(void **state)
{
    (void)state;
    struct status s = full();
    s.destination = "./\"a\\b\"\n\x01\x7f</script>";
    s.platform = "\xff\xc3";
    json_t *root = formatted(&s);
    assert_string_equal(json_string_value(json_object_get(root, "destination")), s.destination);
    assert_string_equal(json_string_value(json_object_get(root, "platform")),
                        "\xef\xbf\xbd\xef\xbf\xbd");
    json_decref(root);
}

/* As much as a daemon can have under way, at its largest, and an hour in which every slot counts.
 */
static void everything_at_its_largest_fits(void **state)
{
    (void)state;
    enum { RUNNING = 4096, SLOTS = 360 };
    static struct status_running running[RUNNING];
    static struct status_slot slots[SLOTS];
    struct status s = full();
    for (size_t i = 0; i < RUNNING; i++) {
        running[i] = (struct status_running){.started_ms = now_ms,
                                             .expires_ms = now_ms,
                                             .received = INT64_MAX,
                                             .size = INT64_MAX,
                                             .attempts = UINT32_MAX};
        memset(running[i].job, 'x', JOB_ID_MAX);
    }
    for (size_t i = 0; i < SLOTS; i++)
        slots[i] = (struct status_slot){1579532960 + 10 * (int64_t)i, INT64_MAX, UINT32_MAX, 1};
    s.running = running;
    s.n_running = RUNNING;
    s.throughput = slots;
    s.n_throughput = SLOTS;
    json_t *root = formatted(&s);
    assert_int_equal(json_array_size(json_object_get(root, "running")), RUNNING);
    const json_t *throughput = json_object_get(root, "throughput");
    assert_int_equal(json_array_size(json_object_get(throughput, "slots")), SLOTS);
    json_decref(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_member),
        cmocka_unit_test(what_is_not_known_is_null),
        cmocka_unit_test(hostile_text_stays_text),
        cmocka_unit_test(everything_at_its_largest_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
