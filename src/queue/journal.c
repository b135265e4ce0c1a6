/* SPDX-License-Identifier: Apache-2.0
 *
 * journal: its thread. A round is: take what has come in; carry out in one transaction what
 * changes something; commit; complete that; then look what others only asked for. What nobody waits
 * for (checkpoints, pruning) comes after it, a little at a time.
 */
#include "queue/journal.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/fault_point.h"
#include "core/log.h"
#include "core/mem.h"
#include "queue/journal_private.h"

enum {
    ROUND_MAX = 4096,        /* requests in one transaction */
    CHECKPOINT_PAGES = 2000, /* of 4 KiB in the WAL: 8 MiB */
    PRUNED_MAX = 128,        /* jobs forgotten at a time: a millisecond or two */
    PRUNE_EVERY_MS = 1000,
    PATIENCE_MS = 4,
    PRUNE_FAILED_MS = 60 * 1000,
};

/* ---- what has come in ---- */

struct round {
    struct journal_request *writes, *reads;
};

static bool only_looks(const struct journal_request *rq)
{
    return rq->kind == JOURNAL_STATS || rq->kind == JOURNAL_LIST || rq->kind == JOURNAL_GET;
}

/* Nobody waits for what became of a try to be written down: while nothing else has come it waits a
 * little for company, and shares its commit. */
static bool is_patient(const struct journal_request *rq)
{
    return rq->kind == JOURNAL_SETTLE;
}

void journal_submit(struct journal *j, struct journal_request *request)
{
    bool patient = is_patient(request);
    request->err = (struct err){0};
    request->next = NULL;
    pthread_mutex_lock(&j->lock);
    bool was_empty = !j->first, waits = was_empty || j->patient;
    *j->last_next = request;
    j->last_next = &request->next;
    j->patient = waits && patient;
    if (was_empty && patient)
        j->patient_mono_ms = clock_mono_ms() + PATIENCE_MS;
    if (was_empty || (waits && !patient))
        pthread_cond_signal(&j->wake);
    pthread_mutex_unlock(&j->lock);
}

/* Under the lock. Returns early when it is time to prune. */
static void wait_for_requests(struct journal *j)
{
    while (!j->ending && (!j->first || j->patient)) {
        bool company = j->first && j->patient_mono_ms < j->prune_mono_ms;
        int64_t until_ms = company ? j->patient_mono_ms : j->prune_mono_ms;
        struct timespec until = {.tv_sec = until_ms / 1000, .tv_nsec = until_ms % 1000 * 1000000};
        if (pthread_cond_timedwait(&j->wake, &j->lock, &until) == ETIMEDOUT)
            return;
    }
}

/* false: it is to end, and there is nothing left. */
static bool take(struct journal *j, struct round *round)
{
    struct journal_request **write = &round->writes, **read = &round->reads;
    pthread_mutex_lock(&j->lock);
    wait_for_requests(j);
    for (int i = 0; i < ROUND_MAX && j->first; i++) {
        struct journal_request *rq = j->first;
        j->first = rq->next;
        struct journal_request ***end = only_looks(rq) ? &read : &write;
        **end = rq;
        *end = &rq->next;
    }
    if (!j->first)
        j->last_next = &j->first;
    *write = *read = NULL;
    bool goes_on = round->writes || round->reads || !j->ending;
    pthread_mutex_unlock(&j->lock);
    return goes_on;
}

/* ---- a round ---- */

static void tell_takes(struct journal *j)
{
    atomic_store(&j->takes, !j->failing && !journal_is_full(j));
}

static void begin_round(struct journal *j)
{
    j->now_ms = clock_wall_ms();
    j->broken = false;
}

/* Says once that it fails, and once that it works again; that it is damaged, which may be met now
 * and then, once for all. */
static void tell_health(struct journal *j, const struct err *err)
{
    bool damaged = err && err->code != ERR_IO;
    if (err && !j->ailing && !(damaged && j->damaged))
        log_error("%s", err->msg);
    else if (!err && j->ailing)
        log_info("%s: can be written again", j->path);
    j->damaged |= damaged;
    j->ailing = err && !damaged;
    if (err && !j->failing)
        j->prune_mono_ms = clock_mono_ms() + PRUNE_EVERY_MS;
    j->failing = err != NULL;
    tell_takes(j);
}

/* Runs work() in a transaction of its own. -1: nothing of it was done. */
static int transact(struct journal *j, int (*work)(struct journal *j, void *arg, struct err *err),
                    void *arg, struct err *err)
{
    struct journal_tally before = j->tally;
    begin_round(j);
    int changes = sqlite3_total_changes(j->db);
    if (journal_db_in_place(j, err) == 0 && journal_db_begin(j, err) == 0 &&
        work(j, arg, err) == 0 && journal_db_commit(j, err) == 0) {
        j->commits += sqlite3_total_changes(j->db) != changes;
        return 0;
    }
    journal_db_roll_back(j);
    j->tally = before;
    return -1;
}

static int carry_out_all(struct journal *j, void *arg, struct err *err)
{
    for (struct journal_request *rq = arg; rq; rq = rq->next) {
        rq->err = (struct err){0};
        int rc = journal_carry_out(j, rq, &rq->err);
        if (j->broken) {
            *err = rq->err;
            return -1;
        }
        rq->unfinished = rc > 0;
    }
    return 0;
}

/* done() may free the request, or submit it anew. */
static void complete(struct journal *j, struct journal_request *rq)
{
    for (struct journal_request *next; rq; rq = next) {
        next = rq->next;
        if (rq->unfinished) {
            journal_submit(j, rq);
        } else {
            j->requests++;
            rq->done(rq);
        }
    }
}

static void write_all(struct journal *j, struct journal_request *first)
{
    struct err err = {0};
    uint64_t commits = j->commits;
    if (transact(j, carry_out_all, first, &err) < 0) {
        for (struct journal_request *rq = first; rq; rq = rq->next) {
            journal_take_back(rq);
            rq->err = err;
            rq->unfinished = false;
        }
        tell_health(j, &err);
    } else if (j->commits != commits) { /* else nothing was written, and nothing is known */
        tell_health(j, NULL);
    }
    FAULT_POINT("journal-before-complete");
    complete(j, first);
}

static void read_all(struct journal *j, struct journal_request *first)
{
    begin_round(j);
    for (struct journal_request *rq = first; rq; rq = rq->next) {
        rq->err = (struct err){0};
        rq->unfinished = false;
        journal_look(j, rq);
        journal_db_reset(j);
    }
    complete(j, first);
}

/* ---- what nobody waits for ---- */

static int probe(struct journal *j, void *arg, struct err *err)
{
    (void)arg;
    return journal_probe(j, err);
}

static int prune(struct journal *j, void *arg, struct err *err)
{
    if (journal_prune(j, PRUNED_MAX, arg, err) < 0)
        return -1;
    FAULT_POINT("journal-prune");
    return 0;
}

static void look_after(struct journal *j)
{
    struct err err = {0};
    int n = 0;
    if (j->wal_pages >= j->checkpoint_pages) {
        journal_db_checkpoint(j, SQLITE_CHECKPOINT_PASSIVE);
        /* While somebody reads, the WAL grows on instead of being begun anew. */
        j->checkpoint_pages = j->wal_pages + CHECKPOINT_PAGES;
    } else if (j->wal_pages < CHECKPOINT_PAGES) {
        j->checkpoint_pages = CHECKPOINT_PAGES;
    }
    bool many = journal_surplus(j) >= PRUNED_MAX && !j->prune_failed && !j->failing;
    if (clock_mono_ms() < j->prune_mono_ms && !many)
        return;
    if (j->failing || journal_db_in_place(j, &err) < 0) {
        tell_health(j, transact(j, probe, NULL, &err) < 0 ? &err : NULL);
        j->prune_mono_ms = clock_mono_ms() + PRUNE_EVERY_MS;
        return;
    }
    j->prune_failed = transact(j, prune, &n, &err) < 0;
    if (j->prune_failed)
        log_warn("finished jobs are not forgotten: %s", err.msg);
    int64_t pause_ms = j->prune_failed ? PRUNE_FAILED_MS : n == PRUNED_MAX ? 0 : PRUNE_EVERY_MS;
    j->prune_mono_ms = clock_mono_ms() + pause_ms;
}

static void *run(void *arg)
{
    struct journal *j = arg;
    struct round round = {0};
    while (take(j, &round)) {
        if (round.writes)
            write_all(j, round.writes);
        if (round.reads)
            read_all(j, round.reads);
        look_after(j);
        tell_takes(j);
    }
    return NULL;
}

/* ---- life ---- */

static int count(struct journal *j, struct err *err)
{
    int rc;
    sqlite3_stmt *st = journal_db_statement(j, DO_COUNT);
    while ((rc = journal_db_step(j, st, err)) > 0) {
        int64_t state = sqlite3_column_int64(st, 0);
        if (state < 0 || state >= JOURNAL_STATES)
            return journal_db_nonsense(j, "a job has no state", err);
        j->tally.jobs[state] = sqlite3_column_int64(st, 1);
    }
    if (rc < 0)
        return -1;
    st = journal_db_statement(j, DO_PAUSED);
    rc = journal_db_step(j, st, err);
    j->tally.paused = rc > 0 && sqlite3_column_int(st, 0) != 0;
    return rc < 0 ? -1 : 0;
}

static int recover(struct journal *j, void *arg, struct err *err)
{
    return journal_recover(j, arg, err);
}

static int open_file(struct journal *j, const char *path, size_t *recovered, struct err *err)
{
    int version = 0;
    if (journal_db_open(j, path, err) < 0 ||
        journal_schema_check(j->db, j->path, &version, err) < 0 || journal_db_set_up(j, err) < 0 ||
        journal_schema_upgrade(j, version, err) < 0 || journal_db_prepare(j, err) < 0 ||
        count(j, err) < 0)
        return -1;
    journal_db_reset(j);
    if (transact(j, recover, recovered, err) < 0)
        return -1;
    journal_db_remember_place(j);
    tell_takes(j);
    return 0;
}

static int start_thread(struct journal *j, struct err *err)
{
    sigset_t all, before;
    sigfillset(&all); /* they are others'; and past `ulimit -f` there is an error, not a death */
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int failed = pthread_create(&j->thread, NULL, run, j);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failed ? err_set_errno(err, ERR_IO, failed, "cannot start the journal's thread") : 0;
}

static void release(struct journal *j)
{
    journal_db_close(j);
    pthread_cond_destroy(&j->wake);
    pthread_mutex_destroy(&j->lock);
    free(j);
}

struct journal *journal_open(const struct journal_config *config, size_t *recovered,
                             struct err *err)
{
    struct journal *j = xcalloc(1, sizeof(*j));
    pthread_condattr_t attr;
    size_t n = 0;
    j->keep_ms = config->keep_ms;
    j->keep_jobs = config->keep_jobs;
    j->queue_max = config->queue_max;
    j->last_next = &j->first;
    j->checkpoint_pages = CHECKPOINT_PAGES;
    CHECK(pthread_mutex_init(&j->lock, NULL) == 0);
    CHECK(pthread_condattr_init(&attr) == 0);
    CHECK(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
    CHECK(pthread_cond_init(&j->wake, &attr) == 0);
    pthread_condattr_destroy(&attr);
    if (open_file(j, config->path, &n, err) < 0 || start_thread(j, err) < 0) {
        release(j);
        return NULL;
    }
    if (recovered)
        *recovered = n;
    return j;
}

void journal_close(struct journal *j)
{
    if (!j)
        return;
    pthread_mutex_lock(&j->lock);
    j->ending = true;
    pthread_cond_signal(&j->wake);
    pthread_mutex_unlock(&j->lock);
    pthread_join(j->thread, NULL);
    journal_db_reset(j);
    journal_db_checkpoint(j, SQLITE_CHECKPOINT_TRUNCATE);
    release(j);
}

bool journal_takes(const struct journal *j)
{
    return atomic_load(&j->takes);
}
