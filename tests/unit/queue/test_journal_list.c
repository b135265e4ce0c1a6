/* SPDX-License-Identifier: Apache-2.0
 *
 * test_journal_list: pages of jobs, pruning by age and number, and that every statement finds its
 * rows by an index.
 */
#include "journal_rig.h"
#include "queue/journal_private.h"

#include <time.h>

enum { MANY = 450 };

static struct journal_list list(struct rig *rig, int state, const char *prefix, unsigned limit,
                                const char *after)
{
    struct journal_list rq = {.state = state, .limit = limit};
    snprintf(rq.prefix, sizeof(rq.prefix), "%s", prefix);
    snprintf(rq.after, sizeof(rq.after), "%s", after);
    run(rig, &rq.request, JOURNAL_LIST);
    return rq;
}

/* All pages: how many jobs, each once; the first one's id in *first. */
static unsigned walk(struct rig *rig, int state, const char *prefix, unsigned limit, char *first)
{
    char after[JOURNAL_CURSOR_SIZE] = "";
    unsigned n = 0;
    bool seen[MANY] = {false};
    do {
        struct journal_list rq = list(rig, state, prefix, limit, after);
        assert_done(&rq.request);
        assert_true(rq.n <= limit);
        for (unsigned i = 0; i < rq.n; i++) {
            int number = (int)strtol(rq.jobs[i].id + 4, NULL, 10);
            assert_false(seen[number]);
            seen[number] = true;
            if (n++ == 0)
                snprintf(first, JOB_ID_MAX + 1, "%s", rq.jobs[i].id);
        }
        snprintf(after, sizeof(after), "%s", rq.next);
        journal_list_release(&rq);
    } while (*after);
    return n;
}

/* Fifty of each state, the others READY; many with the same times. */
static void fill(struct rig *rig)
{
    open_journal(rig);
    accept_many(rig, "job-%d", MANY);
    witness(rig, "UPDATE jobs SET state = (seq - 1) / 50, place_ms = 5000 + seq / 7, ended_ms = "
                 "5000 + seq / 7 WHERE seq <= 300 AND (seq - 1) / 50 <> 1");
    close_journal(rig);
    rig->config.keep_ms = 100000 * DAY_MS;
    open_journal(rig);
}

static void pages_of_a_state(void **state)
{
    struct rig *rig = *state;
    char first[JOB_ID_MAX + 1];
    fill(rig); /* the 50 that were RUNNING are READY again */
    for (unsigned limit = 1; limit <= 200; limit += limit < 3 ? 1 : 60) {
        assert_int_equal(walk(rig, JOURNAL_READY, "", limit, first), MANY - 200);
        assert_string_equal(first, "job-50");
        assert_int_equal(walk(rig, JOURNAL_DEAD, "", limit, first), 50);
        assert_string_equal(first, "job-299");
        assert_int_equal(walk(rig, JOURNAL_RUNNING, "", limit, first), 0);
        assert_int_equal(walk(rig, -1, "", limit, first), MANY);
        assert_string_equal(first, "job-50");
    }
    claim(rig, 3); /* of those that were WAITING, and due */
    assert_int_equal(walk(rig, JOURNAL_RUNNING, "", 2, first), 3);
    assert_int_equal(walk(rig, -1, "", 50, first), MANY);
    assert_string_equal(first, "job-2");
}

static void pages_of_a_prefix(void **state)
{
    struct rig *rig = *state;
    char first[JOB_ID_MAX + 1];
    fill(rig);
    assert_int_equal(walk(rig, -1, "job-1", 7, first), 111);
    assert_string_equal(first, "job-1");
    assert_int_equal(walk(rig, -1, "job-44", 200, first), 11);
    assert_int_equal(walk(rig, JOURNAL_STORED, "job-1", 7, first), 50);
    assert_int_equal(walk(rig, JOURNAL_STORED, "job-2", 7, first), 0);
    assert_int_equal(walk(rig, -1, "jab", 7, first), 0);
    assert_int_equal(walk(rig, -1, "%", 7, first), 0);
    assert_int_equal(walk(rig, -1, "job-4_", 7, first), 0);
}

static void what_is_asked_wrongly_is_refused(void **state)
{
    struct rig *rig = *state;
    static const char *const after[] = {"x", "1:2", "9:1:1", "1:x:1", "1:1:-1", "1:1:1:1"};
    open_journal(rig);
    for (size_t i = 0; i < sizeof(after) / sizeof(after[0]); i++) {
        struct journal_list rq = list(rig, -1, "", 10, after[i]);
        assert_failed(&rq.request, ERR_INPUT, "after");
    }
    struct journal_list rq = list(rig, -1, "", 0, "");
    assert_failed(&rq.request, ERR_INPUT, "from 1 to 200");
    rq = list(rig, -1, "", 201, "");
    assert_failed(&rq.request, ERR_INPUT, "from 1 to 200");
}

/* Waits until no more is forgotten. */
static struct journal_stats settled_stats(struct rig *rig, int64_t stored)
{
    struct journal_stats s = stats(rig);
    for (int i = 0; i < 500 && s.jobs[JOURNAL_STORED] != stored; i++) {
        nanosleep(&(struct timespec){.tv_nsec = 10 * 1000 * 1000}, NULL);
        s = stats(rig);
    }
    return s;
}

static void the_oldest_are_forgotten(void **state)
{
    struct rig *rig = *state;
    fill(rig);
    witness(rig, "UPDATE jobs SET state = 3, place_ms = seq, ended_ms = seq WHERE seq > 20");
    witness(rig, "UPDATE jobs SET state = 1 WHERE seq <= 20");
    witness(rig, "INSERT INTO history SELECT seq, 2, 0, 0, NULL FROM jobs");
    close_journal(rig);
    rig->config.keep_jobs = 40;
    open_journal(rig);
    struct journal_stats s = settled_stats(rig, 40);
    assert_int_equal(s.jobs[JOURNAL_STORED], 40);
    assert_int_equal(s.jobs[JOURNAL_READY], 20);
    assert_int_equal(witness(rig, "SELECT min(seq) FROM jobs WHERE state = 3"), MANY - 39);
    assert_int_equal(witness(rig, "SELECT count(*) FROM jobs"), 60);
    assert_int_equal(witness(rig, "SELECT count(*) FROM history WHERE n = 2"), 60);

    close_journal(rig);
    rig->config.keep_ms = 3600 * 1000;
    witness(rig, "UPDATE jobs SET ended_ms = 4102444800000, place_ms = 4102444800000 "
                 "WHERE seq > 440"); /* of this century yet to end: not old */
    open_journal(rig);
    assert_int_equal(settled_stats(rig, 10).jobs[JOURNAL_STORED], 10);
    assert_int_equal(stats(rig).jobs[JOURNAL_READY], 20);
}

/* ---- plans ---- */

/* With a million jobs that come before the prefix it took 90 ms otherwise. */
static void a_page_of_a_prefix_begins_there(void **state)
{
    struct rig *rig = *state;
    static const char *const sql =
#define SQL_OF_LIST_BY_ID(name, text) DO_##name == DO_LIST_BY_ID ? (text):
        JOURNAL_STATEMENTS(SQL_OF_LIST_BY_ID) NULL;
#undef SQL_OF_LIST_BY_ID
    fill(rig);
    sqlite3 *db = NULL;
    sqlite3_stmt *st = NULL;
    assert_int_equal(sqlite3_open(rig->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &st, NULL), SQLITE_OK);
    journal_bind_text(st, 1, "");
    journal_bind_text(st, 2, "job-44");
    journal_bind_text(st, 3, "job-45");
    sqlite3_bind_int(st, 4, 1);
    assert_int_equal(sqlite3_step(st), SQLITE_ROW);
    assert_string_equal((const char *)sqlite3_column_text(st, 1), "job-44");
    assert_true(sqlite3_stmt_status(st, SQLITE_STMTSTATUS_VM_STEP, 0) < 100);
    sqlite3_finalize(st);
    sqlite3_close(db);
}

static void no_statement_reads_a_whole_table(void **state)
{
    struct rig *rig = *state;
    static const char *const sql[] = {
        "SELECT * FROM jobs WHERE state = 1 AND place_ms BETWEEN 1 AND 2 ORDER BY place_ms, seq",
        "SELECT id FROM jobs WHERE state = 1 AND (place_ms, seq) < (1, 2) ORDER BY place_ms DESC",
        "SELECT id FROM jobs WHERE state <= 2 AND asked = 0 ORDER BY received_ms LIMIT 1",
        "SELECT 1 FROM jobs WHERE state <= 2 AND expires_ms > 0 AND expires_ms <= 5 LIMIT 9",
        "SELECT * FROM jobs WHERE id >= max('', 'b') AND +id > '' AND id < 'c' ORDER BY id LIMIT 9",
        "SELECT max(n) FROM history WHERE job = 1",
    };
    open_journal(rig);
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(rig->path, &db), SQLITE_OK);
    for (size_t i = 0; i < sizeof(sql) / sizeof(sql[0]); i++) {
        char explain[512];
        sqlite3_stmt *st = NULL;
        snprintf(explain, sizeof(explain), "EXPLAIN QUERY PLAN %s", sql[i]);
        assert_int_equal(sqlite3_prepare_v2(db, explain, -1, &st, NULL), SQLITE_OK);
        while (sqlite3_step(st) == SQLITE_ROW) {
            const char *plan = (const char *)sqlite3_column_text(st, 3);
            if (strstr(plan, "SCAN") || strstr(plan, "TEMP B-TREE"))
                fail_msg("%s: %s", sql[i], plan);
        }
        sqlite3_finalize(st);
    }
    sqlite3_close(db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(pages_of_a_state),
        TEST(pages_of_a_prefix),
        TEST(what_is_asked_wrongly_is_refused),
        TEST(the_oldest_are_forgotten),
        TEST(no_statement_reads_a_whole_table),
        TEST(a_page_of_a_prefix_begins_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
