/* SPDX-License-Identifier: Apache-2.0
 *
 * journal_rig: a journal in a directory of the test's own, and short ways to do one thing with it
 * and wait for it. witness() asks the file itself, with a connection of its own.
 *
 *     static void test_x(void **state)
 *     {
 *         struct rig *rig = *state;
 *         open_journal(rig);
 *         assert_int_equal(accept_job(rig, "a", 0), JOURNAL_NEW);
 *         assert_state(rig, "a", JOURNAL_READY);
 *     }
 */
#ifndef EGRESS_TESTS_UNIT_QUEUE_JOURNAL_RIG_H
#define EGRESS_TESTS_UNIT_QUEUE_JOURNAL_RIG_H

#include <pthread.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/clock.h"
#include "core/mem.h"
#include "queue/journal.h"

#define DAY_MS (24 * 3600 * INT64_C(1000))

struct rig {
    char dir[256];
    char path[300];
    struct journal_config config;
    struct journal *journal;
    size_t recovered;
};

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

static inline int set_up(void **state)
{
    struct rig *rig = xcalloc(1, sizeof(*rig));
    snprintf(rig->dir, sizeof(rig->dir), "%s/egress-journal-XXXXXX",
             getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    assert_non_null(mkdtemp(rig->dir));
    snprintf(rig->path, sizeof(rig->path), "%s/j.db", rig->dir);
    rig->config = (struct journal_config){
        .path = rig->path, .keep_ms = 30 * DAY_MS, .keep_jobs = 1000000, .queue_max = 10000000};
    *state = rig;
    return 0;
}

static inline void shell(const char *format, const char *path)
{
    char command[1024];
    assert_true((size_t)snprintf(command, sizeof(command), format, path) < sizeof(command));
    assert_int_equal(system(command), 0);
}

static inline int tear_down(void **state)
{
    struct rig *rig = *state;
    journal_close(rig->journal);
    shell("rm -rf -- '%s'", rig->dir);
    free(rig);
    return 0;
}

static inline void open_journal(struct rig *rig)
{
    struct err err = {0};
    assert_null(rig->journal);
    rig->journal = journal_open(&rig->config, &rig->recovered, &err);
    if (!rig->journal)
        fail_msg("%s", err.msg);
}

static inline void close_journal(struct rig *rig)
{
    journal_close(rig->journal);
    rig->journal = NULL;
}

static inline void open_again(struct rig *rig)
{
    close_journal(rig);
    open_journal(rig);
}

static inline void assert_refused(struct rig *rig, enum err_code code, const char *part)
{
    struct err err = {0};
    assert_null(rig->journal);
    rig->journal = journal_open(&rig->config, NULL, &err);
    assert_null(rig->journal);
    if (err.code != code || !strstr(err.msg, part) || strchr(err.msg, '\n'))
        fail_msg("%s: \"%s\"; expected \"%s\"", err_name(err.code), err.msg, part);
}

/* ---- one request, waited for ---- */

struct waiting {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    int done;
};

static inline void on_done(struct journal_request *rq)
{
    struct waiting *w = rq->arg;
    pthread_mutex_lock(&w->lock);
    w->done++;
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
}

static inline void run(struct rig *rig, struct journal_request *rq, enum journal_kind kind)
{
    struct waiting w = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0};
    rq->kind = kind;
    rq->done = on_done;
    rq->arg = &w; /* cppcheck-suppress autoVariables ; waited for */
    journal_submit(rig->journal, rq);
    pthread_mutex_lock(&w.lock);
    while (!w.done)
        pthread_cond_wait(&w.wake, &w.lock);
    pthread_mutex_unlock(&w.lock);
    assert_int_equal(w.done, 1);
}

static inline void assert_done(const struct journal_request *rq)
{
    if (rq->err.code != ERR_NONE)
        fail_msg("%s", rq->err.msg);
}

static inline void assert_failed(const struct journal_request *rq, enum err_code code,
                                 const char *part)
{
    if (rq->err.code != code || !strstr(rq->err.msg, part))
        fail_msg("%s: \"%s\"; expected \"%s\"", err_name(rq->err.code), rq->err.msg, part);
}

static inline struct journal_accept try_accept(struct rig *rig, const char *id, int64_t expires_ms)
{
    struct journal_accept rq = {.expires_ms = expires_ms};
    snprintf(rq.job, sizeof(rq.job), "%s", id);
    run(rig, &rq.request, JOURNAL_ACCEPT);
    return rq;
}

static inline enum journal_accepted accept_job(struct rig *rig, const char *id, int64_t expires_ms)
{
    struct journal_accept rq = try_accept(rig, id, expires_ms);
    assert_done(&rq.request);
    return rq.accepted;
}

/* Jobs named by the format and a number from 0 on, in a few commits; each ten of them expire
 * together, 1970. */
static inline void accept_many(struct rig *rig, const char *format, int n)
{
    struct journal_accept *rq = xcalloc((size_t)n, sizeof(*rq));
    struct waiting w = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0};
    for (int i = 0; i < n; i++) {
        rq[i].request = (struct journal_request){JOURNAL_ACCEPT, on_done, &w};
        rq[i].expires_ms = 1000000 + i / 10;
        snprintf(rq[i].job, sizeof(rq[i].job), format, i);
        journal_submit(rig->journal, &rq[i].request);
    }
    pthread_mutex_lock(&w.lock);
    while (w.done < n)
        pthread_cond_wait(&w.wake, &w.lock);
    pthread_mutex_unlock(&w.lock);
    for (int i = 0; i < n; i++)
        assert_done(&rq[i].request);
    free(rq);
}

enum { CLAIMED_MAX = 300 };
static struct journal_job claimed[CLAIMED_MAX];

static inline struct journal_claim claim(struct rig *rig, unsigned max)
{
    struct journal_claim rq = {.max = max, .jobs = claimed};
    assert_true(max <= CLAIMED_MAX);
    run(rig, &rq.request, JOURNAL_CLAIM);
    assert_done(&rq.request);
    return rq;
}

static inline void assert_claims(struct rig *rig, const char *id)
{
    struct journal_claim rq = claim(rig, 1);
    assert_int_equal(rq.n, 1);
    assert_string_equal(claimed[0].id, id);
    assert_int_equal(claimed[0].state, JOURNAL_RUNNING);
}

static inline struct journal_settle try_settle(struct rig *rig, const char *id,
                                               enum journal_verdict verdict)
{
    struct journal_settle rq = {.verdict = verdict, .attempts_max = 3, .delay_ms = 3600 * 1000};
    snprintf(rq.job, sizeof(rq.job), "%s", id);
    if (verdict == JOURNAL_NEVER || verdict == JOURNAL_LATER)
        err_set(&rq.why, ERR_NETWORK, "it broke");
    run(rig, &rq.request, JOURNAL_SETTLE);
    return rq;
}

static inline enum journal_state settle(struct rig *rig, const char *id,
                                        enum journal_verdict verdict)
{
    struct journal_settle rq = try_settle(rig, id, verdict);
    assert_done(&rq.request);
    return rq.state;
}

static inline struct journal_get get(struct rig *rig, const char *id)
{
    struct journal_get rq = {0};
    snprintf(rq.job, sizeof(rq.job), "%s", id);
    run(rig, &rq.request, JOURNAL_GET);
    assert_done(&rq.request);
    return rq;
}

static inline struct journal_job row(struct rig *rig, const char *id)
{
    struct journal_get rq = get(rig, id);
    assert_true(rq.found);
    struct journal_job job = rq.row;
    journal_get_release(&rq);
    job.error = job.objects = NULL;
    return job;
}

static inline void assert_state(struct rig *rig, const char *id, enum journal_state state)
{
    assert_string_equal(journal_state_name(row(rig, id).state), journal_state_name(state));
}

static inline struct journal_stats stats(struct rig *rig)
{
    struct journal_stats rq = {.near_ms = DAY_MS};
    run(rig, &rq.request, JOURNAL_STATS);
    assert_done(&rq.request);
    return rq;
}

/* ---- the file itself ---- */

static inline int64_t witness(const struct rig *rig, const char *sql)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *st = NULL;
    assert_int_equal(sqlite3_open(rig->path, &db), SQLITE_OK);
    sqlite3_busy_timeout(db, 2000);
    if (sqlite3_prepare_v2(db, sql, -1, &st, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    int rc = sqlite3_step(st);
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    int64_t value = rc == SQLITE_ROW ? sqlite3_column_int64(st, 0) : 0;
    sqlite3_finalize(st);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    return value;
}

#endif
