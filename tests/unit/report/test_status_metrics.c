/* SPDX-License-Identifier: Apache-2.0
 *
 * metrics: Prometheus' text, read by a parser of this test that takes nothing but the format.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/status.h"

enum { SAMPLES_MAX = 128 };

struct sample {
    char name[80], labels[160]; /* as they stand: state="ready" */
    double value;
};

struct metrics {
    struct sample samples[SAMPLES_MAX];
    size_t n, n_metrics;
};

static const char *expect(const char *p, const char *text)
{
    if (strncmp(p, text, strlen(text)) != 0)
        fail_msg("expected '%s' at: %.60s", text, p);
    return p + strlen(text);
}

/* egress_[a-z_]+ */
static const char *take_name(const char *p, char *name, size_t size)
{
    size_t n = strspn(p, "abcdefghijklmnopqrstuvwxyz_");
    assert_in_range(n, 8, size - 1);
    memcpy(name, p, n);
    name[n] = '\0';
    expect(name, "egress_");
    return p + n;
}

/* {label="value"}; in a value only \\, \" and \n are escapes, and a quote ends it. */
static const char *take_labels(const char *p, struct sample *s)
{
    s->labels[0] = '\0';
    if (*p != '{')
        return p;
    const char *begin = ++p;
    while (islower((unsigned char)*p))
        p++;
    p = expect(p, "=\"");
    while (*p && *p != '"' && *p != '\n') {
        if (*p == '\\')
            assert_non_null(strchr("\\\"n", *++p));
        p++;
    }
    p = expect(p, "\"");
    assert_in_range(p - begin, 1, sizeof(s->labels) - 1);
    memcpy(s->labels, begin, (size_t)(p - begin));
    s->labels[p - begin] = '\0';
    return expect(p, "}");
}

/* # HELP, # TYPE, samples, for each metric once. */
static void parse(const char *p, struct metrics *m)
{
    while (*p) {
        char name[80], again[80];
        p = take_name(expect(p, "# HELP "), name, sizeof(name));
        p = expect(p, " ");
        assert_true(isalnum((unsigned char)*p));
        size_t help = strcspn(p, "\n\\");
        assert_int_equal(p[help - 1], '.');
        p = take_name(expect(p + help, "\n# TYPE "), again, sizeof(again));
        assert_string_equal(name, again);
        bool total = strlen(name) > 6 && strcmp(name + strlen(name) - 6, "_total") == 0;
        p = expect(p, total ? " counter\n" : " gauge\n");
        for (size_t i = 0; i < m->n; i++)
            assert_string_not_equal(m->samples[i].name, name);
        m->n_metrics++;
        while (*p && *p != '#') {
            assert_in_range(m->n, 0, SAMPLES_MAX - 1);
            struct sample *s = &m->samples[m->n++];
            p = take_labels(take_name(p, s->name, sizeof(s->name)), s);
            assert_string_equal(s->name, name);
            char *end;
            p = expect(p, " ");
            assert_true(*p == '-' || isdigit((unsigned char)*p));
            s->value = strtod(p, &end);
            p = expect(end, "\n");
        }
    }
}

static void formatted(const struct status *s, struct metrics *m)
{
    struct buf out = BUF_INIT(STATUS_TEXT_MAX);
    memset(m, 0, sizeof(*m));
    status_format_metrics(s, &out);
    assert_false(buf_overflowed(&out));
    parse(buf_str(&out), m);
    buf_release(&out);
}

/* NULL: there is no such sample. */
static const double *value(const struct metrics *m, const char *name, const char *labels)
{
    const double *found = NULL;
    for (size_t i = 0; i < m->n; i++) {
        const struct sample *s = &m->samples[i];
        if (strcmp(s->name, name) != 0 || strcmp(s->labels, labels) != 0)
            continue;
        assert_null(found); /* once only */
        found = &s->value;
    }
    return found;
}

static const struct {
    const char *name, *labels;
    double value;
} expected[] = {
    {"egress_build_info", "version=\"1.2.3\"", 1},
    {"egress_start_time_seconds", "", 1000},
    {"egress_paused", "", 1},
    {"egress_draining", "", 0},
    {"egress_process_resident_memory_bytes", "", 33},
    {"egress_process_cpu_seconds_total", "", 34.5},
    {"egress_process_open_fds", "", 35},
    {"egress_process_threads", "", 36},
    {"egress_jobs", "state=\"waiting\"", 1},
    {"egress_jobs", "state=\"ready\"", 2},
    {"egress_jobs", "state=\"running\"", 3},
    {"egress_jobs", "state=\"stored\"", 4},
    {"egress_jobs", "state=\"failed\"", 5},
    {"egress_jobs", "state=\"dead\"", 6},
    {"egress_jobs_near_expiry", "", 7},
    {"egress_near_expiry_threshold_seconds", "", 21600},
    {"egress_oldest_unfinished_age_seconds", "", 60},
    {"egress_soonest_expiry_seconds", "", -30.5},
    {"egress_journal_size_bytes", "", 8},
    {"egress_journal_commits_total", "", 9},
    {"egress_journal_requests_total", "", 10},
    {"egress_transfers_total", "outcome=\"stored\"", 11},
    {"egress_transfers_total", "outcome=\"already_stored\"", 12},
    {"egress_transfers_total", "outcome=\"handed_over\"", 13},
    {"egress_transfers_total", "outcome=\"failed\"", 14},
    {"egress_transfers_total", "outcome=\"later\"", 15},
    {"egress_transfers_total", "outcome=\"dead\"", 16},
    {"egress_transfers_moving", "", 2},
    {"egress_transferred_bytes_total", "", 5e9},
    {"egress_stored_seconds_to_expiry_min", "", 17.25},
    {"egress_syncs_total", "", 18},
    {"egress_syncs_failed_total", "", 19},
    {"egress_sync_repaired_jobs_total", "", 20},
    {"egress_last_sync_timestamp_seconds", "", 1999.5},
    {"egress_next_sync_timestamp_seconds", "", 5600},
    {"egress_webhooks_total", "answer=\"accepted\"", 21},
    {"egress_webhooks_total", "answer=\"unauthorized\"", 23},
    {"egress_webhooks_total", "answer=\"rejected\"", 24},
    {"egress_webhooks_total", "answer=\"unavailable\"", 25},
    {"egress_webhooks_known_total", "", 22},
    {"egress_http_open_connections", "", 32},
    {"egress_http_connections_total", "", 26},
    {"egress_http_requests_total", "", 27},
    {"egress_http_refused_connections_total", "", 28},
    {"egress_http_timed_out_total", "", 29},
    {"egress_http_rate_limited_total", "", 30},
    {"egress_http_malformed_total", "", 31},
};
enum { EXPECTED = sizeof(expected) / sizeof(expected[0]) };

static void every_metric(void **state)
{
    (void)state;
    const struct status_running running[] = {{.moving = true}, {.moving = false}, {.moving = true}};
    const struct status s = {.version = "1.2.3",
                             .now_ms = 2000000,
                             .started_ms = 1000000,
                             .paused = true,
                             .jobs = {1, 2, 3, 4, 5, 6},
                             .near_expiry = 7,
                             .near_ms = 21600000,
                             .oldest_ms = 1940000,
                             .soonest_ms = 1969500,
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
                             .last_sync_ms = 1999500,
                             .next_sync_ms = 5600000,
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
                             .cpu_ms = 34500,
                             .descriptors = 35,
                             .threads = 36,
                             .running = running,
                             .n_running = 3};
    static struct metrics m;
    formatted(&s, &m);
    for (size_t i = 0; i < EXPECTED; i++) {
        const double *got = value(&m, expected[i].name, expected[i].labels);
        if (!got || fabs(*got - expected[i].value) > 1e-9)
            fail_msg("%s{%s}: %g, not %g", expected[i].name, expected[i].labels,
                     got ? *got : (double)NAN, expected[i].value);
    }
    assert_int_equal(m.n, EXPECTED);
}

/* What is not known has no sample: 0 would set off alarms, or hide that one is due. */
static void what_is_not_known_is_not_told(void **state)
{
    (void)state;
    static struct metrics full, m;
    struct status s = {.version = "1",
                       .now_ms = 1,
                       .started_ms = 1,
                       .oldest_ms = 1,
                       .soonest_ms = 1,
                       .last_sync_ms = 1,
                       .next_sync_ms = 1};
    formatted(&s, &full);
    s = (struct status){.version = "1", .now_ms = 1, .seconds_to_expiry_min = -1};
    formatted(&s, &m);
    assert_int_equal(m.n_metrics, full.n_metrics);
    static const char *const unknown[] = {
        "egress_start_time_seconds",          "egress_oldest_unfinished_age_seconds",
        "egress_soonest_expiry_seconds",      "egress_stored_seconds_to_expiry_min",
        "egress_last_sync_timestamp_seconds", "egress_next_sync_timestamp_seconds"};
    for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
        assert_non_null(value(&full, unknown[i], ""));
        assert_null(value(&m, unknown[i], ""));
    }
    assert_int_equal(m.n, full.n - sizeof(unknown) / sizeof(unknown[0]));
    s.seconds_to_expiry_min = (double)INFINITY;
    formatted(&s, &m);
    assert_null(value(&m, "egress_stored_seconds_to_expiry_min", ""));
}

static void a_label_holds_any_text(void **state)
{
    (void)state;
    static struct metrics m;
    const struct status s = {.version = "a\"b\\c\nd\xff"};
    formatted(&s, &m);
    assert_non_null(value(&m, "egress_build_info", "version=\"a\\\"b\\\\c\\nd\xef\xbf\xbd\""));
}

static void counts_keep_all_their_digits(void **state)
{
    (void)state;
    struct buf out = BUF_INIT(STATUS_TEXT_MAX);
    const struct status s = {.version = "1", .bytes = UINT64_MAX};
    status_format_metrics(&s, &out);
    assert_non_null(
        strstr(buf_str(&out), "\negress_transferred_bytes_total 18446744073709551615\n"));
    buf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_metric),
        cmocka_unit_test(what_is_not_known_is_not_told),
        cmocka_unit_test(a_label_holds_any_text),
        cmocka_unit_test(counts_keep_all_their_digits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
