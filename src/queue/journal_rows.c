/* SPDX-License-Identifier: Apache-2.0
 *
 * journal_rows: the requests that change something, recovery and pruning.
 */
#include <string.h>

#include "core/fault_point.h"
#include "core/log.h"
#include "queue/journal_private.h"

enum {
    PROMOTED_MAX = 32, /* WAITING jobs made READY by one claim: some tenths of a millisecond */
    RETRIED_MAX = 256, /* DEAD ones in a round, for the same reason */
};

/* No try is put off for longer. So a WAITING job whose next try is further away than this was put
 * off while the clock was wrong: it is due, for when it should have been nobody knows. */
#define DELAY_MAX_MS (24 * 3600 * INT64_C(1000))

static int64_t unfinished(const struct journal *j)
{
    const int64_t *jobs = j->tally.jobs;
    return jobs[JOURNAL_WAITING] + jobs[JOURNAL_READY] + jobs[JOURNAL_RUNNING];
}

bool journal_is_full(const struct journal *j)
{
    return unfinished(j) >= j->queue_max;
}

/* ---- accept ---- */

static int queue_is_full(const struct journal *j, struct err *err)
{
    return err_set(err, ERR_IO,
                   "the queue is full: %lld jobs are unfinished, and --queue-max allows no more",
                   (long long)unfinished(j));
}

static int insert(struct journal *j, const struct journal_accept *rq, struct err *err)
{
    struct journal_job job = {.received_ms = j->now_ms, .expires_ms = rq->expires_ms};
    sqlite3_stmt *st = journal_db_statement(j, DO_INSERT);
    journal_bind_text(st, 1, rq->job);
    sqlite3_bind_int(st, 2, JOURNAL_READY);
    sqlite3_bind_int64(st, 3, journal_ready_place(&job));
    sqlite3_bind_int(st, 4, (int)rq->origin);
    sqlite3_bind_int64(st, 5, j->now_ms);
    sqlite3_bind_int64(st, 6, rq->expires_ms);
    if (journal_db_run(j, st, err) < 0)
        return -1;
    int inserted = sqlite3_changes(j->db);
    j->tally.jobs[JOURNAL_READY] += inserted;
    return inserted;
}

/* One that had ended without being stored. */
static int begin_anew(struct journal *j, const struct journal_accept *rq, struct journal_job *job,
                      int64_t seq, struct err *err)
{
    job->received_ms = j->now_ms;
    job->expires_ms = rq->expires_ms;
    sqlite3_stmt *st = journal_db_statement(j, DO_MOVE_AGAIN);
    sqlite3_bind_int(st, 5, (int)rq->origin);
    sqlite3_bind_int64(st, 6, j->now_ms);
    sqlite3_bind_int64(st, 7, rq->expires_ms);
    if (journal_move(j, job, seq, JOURNAL_READY, journal_ready_place(job), st, err) < 0)
        return -1;
    return journal_note(j, seq, EVENT_RECEIVED, NULL, err);
}

/* Whether one that has ended begins anew because it is named. What failed for good is named by
 * every sync, too, as long as its output is there: unless the Platform had not known it, that is no
 * news. */
static bool begins_anew(const struct journal_accept *rq, const struct journal_job *job)
{
    switch (job->state) {
    case JOURNAL_FAILED:
    case JOURNAL_DEAD:
        return rq->origin != JOURNAL_BY_SYNC ||
               strcmp(job->error_name, err_name(ERR_JOB_UNKNOWN)) == 0;
    case JOURNAL_STORED:
        return job->ended_ms < rq->unstored_ms;
    default:
        return false;
    }
}

static int accept_job(struct journal *j, struct journal_accept *rq, struct err *err)
{
    struct journal_job job;
    int64_t seq;
    bool full = journal_is_full(j);
    if (!job_id_is_valid(rq->job))
        return err_set(err, ERR_INTERNAL, "no job id came to the journal");
    int inserted = full ? 0 : insert(j, rq, err);
    if (inserted < 0)
        return -1;
    rq->accepted = JOURNAL_NEW;
    if (inserted)
        return 0;
    int rc = journal_find(j, rq->job, &job, &seq, err);
    if (rc < 0)
        return -1;
    if (rc == 0)
        return full ? queue_is_full(j, err)
                    : journal_db_nonsense(j, "an index names a job that is not there", err);
    if (begins_anew(rq, &job)) {
        rq->accepted = JOURNAL_AGAIN;
        return full ? queue_is_full(j, err) : begin_anew(j, rq, &job, seq, err);
    }
    rq->accepted = job.state == JOURNAL_STORED ? JOURNAL_STORED_BEFORE : JOURNAL_KNOWN;
    return 0;
}

/* ---- claim ---- */

/* Makes READY the WAITING jobs with a next try in [from_ms, to_ms], *left of them at most. */
static int promote(struct journal *j, int64_t from_ms, int64_t to_ms, unsigned *left,
                   struct err *err)
{
    struct journal_job job;
    int64_t seq;
    int rc = 1;
    for (; *left > 0; --*left) {
        rc = journal_first(j, JOURNAL_WAITING, from_ms, to_ms, &job, &seq, err);
        if (rc <= 0)
            return rc;
        if (journal_move(j, &job, seq, JOURNAL_READY, journal_ready_place(&job),
                         journal_db_statement(j, DO_MOVE_READY), err) < 0)
            return -1;
    }
    return 0;
}

static int next_due(struct journal *j, int64_t *due_ms, struct err *err)
{
    sqlite3_stmt *st = journal_db_statement(j, DO_FIRST_PLACE);
    sqlite3_bind_int(st, 1, JOURNAL_WAITING);
    int rc = journal_db_step(j, st, err);
    *due_ms = rc > 0 ? sqlite3_column_int64(st, 0) : 0;
    sqlite3_reset(st);
    return rc < 0 ? -1 : 0;
}

static int claim_one(struct journal *j, struct journal_job *job, struct err *err)
{
    int64_t seq;
    int rc = journal_first(j, JOURNAL_READY, INT64_MIN, INT64_MAX, job, &seq, err);
    if (rc <= 0)
        return rc;
    job->tried = job->claimed_ms != 0;
    job->claimed_ms = j->now_ms;
    sqlite3_stmt *st = journal_db_statement(j, DO_MOVE_CLAIMED);
    sqlite3_bind_int64(st, 5, j->now_ms);
    if (journal_move(j, job, seq, JOURNAL_RUNNING, j->now_ms, st, err) < 0 ||
        journal_note(j, seq, EVENT_CLAIMED, NULL, err) < 0)
        return -1;
    return 1;
}

static int claim(struct journal *j, struct journal_claim *rq, struct err *err)
{
    unsigned left = rq->max > PROMOTED_MAX ? rq->max : PROMOTED_MAX;
    rq->n = 0;
    rq->due_ms = 0;
    rq->paused = j->tally.paused;
    if (rq->paused)
        return 0;
    if (promote(j, INT64_MIN, j->now_ms, &left, err) < 0 ||
        promote(j, j->now_ms + DELAY_MAX_MS + 1, INT64_MAX, &left, err) < 0)
        return -1;
    int rc = 1;
    for (; rq->n < rq->max && rc > 0; rq->n += rc > 0)
        rc = claim_one(j, &rq->jobs[rq->n], err);
    return rc < 0 ? -1 : next_due(j, &rq->due_ms, err);
}

/* ---- settle ---- */

/* What the verdict makes of the job. */
static enum journal_state judge(const struct journal_settle *rq, struct journal_job *job,
                                enum journal_event *event)
{
    switch (rq->verdict) {
    case JOURNAL_DONE:
        *event = rq->already ? EVENT_ALREADY : EVENT_STORED;
        return JOURNAL_STORED;
    case JOURNAL_NEVER:
        *event = EVENT_FAILED;
        return JOURNAL_FAILED;
    case JOURNAL_LATER:
        *event = EVENT_LATER;
        if (!rq->uncounted && ++job->attempts >= rq->attempts_max)
            *event = EVENT_DEAD;
        return *event == EVENT_DEAD ? JOURNAL_DEAD : JOURNAL_WAITING;
    case JOURNAL_RELEASE:
        break;
    }
    *event = EVENT_RELEASED;
    return JOURNAL_READY;
}

/* Of the objects only what is whole is worth keeping. */
static const char *objects_of(const struct journal_settle *rq)
{
    if (rq->verdict != JOURNAL_DONE || !rq->objects)
        return NULL;
    if (strlen(rq->objects) <= JOURNAL_OBJECTS_MAX)
        return rq->objects;
    log_warn("job %s: the list of its objects is too long for the journal; its receipt has it",
             rq->job);
    return NULL;
}

static int update_settled(struct journal *j, const struct journal_settle *rq,
                          struct journal_job *job, int64_t seq, enum journal_state to,
                          struct err *err)
{
    int64_t delay_ms = rq->delay_ms < 0              ? 0
                       : rq->delay_ms > DELAY_MAX_MS ? DELAY_MAX_MS
                                                     : rq->delay_ms;
    bool failed = rq->verdict == JOURNAL_NEVER || rq->verdict == JOURNAL_LATER;
    int64_t next_ms = to == JOURNAL_WAITING ? j->now_ms + delay_ms : 0;
    int64_t ended_ms = to == JOURNAL_WAITING || to == JOURNAL_READY ? 0 : j->now_ms;
    if (rq->expires_ms)
        job->expires_ms = rq->expires_ms;
    int64_t place_ms = to == JOURNAL_READY ? journal_ready_place(job)
                       : next_ms           ? next_ms
                                           : ended_ms;
    if (rq->verdict == JOURNAL_RELEASE) {
        sqlite3_stmt *move = journal_db_statement(j, DO_MOVE_RELEASED);
        sqlite3_bind_int64(move, 5, job->expires_ms);
        return journal_move(j, job, seq, to, place_ms, move, err);
    }
    sqlite3_stmt *st = journal_db_statement(j, DO_MOVE_SETTLED);
    sqlite3_bind_int(st, 5, (int)job->attempts);
    sqlite3_bind_int64(st, 6, next_ms);
    sqlite3_bind_int64(st, 7, ended_ms);
    sqlite3_bind_int64(st, 8, rq->verdict == JOURNAL_DONE ? (int64_t)rq->bytes : 0);
    journal_bind_text(st, 9, failed ? err_name(rq->why.code) : NULL);
    journal_bind_text(st, 10, failed ? rq->why.msg : NULL);
    journal_bind_text(st, 11, objects_of(rq));
    sqlite3_bind_int64(st, 12, job->expires_ms);
    return journal_move(j, job, seq, to, place_ms, st, err);
}

static int settle(struct journal *j, struct journal_settle *rq, struct err *err)
{
    struct journal_job job;
    int64_t seq;
    enum journal_event event;
    bool failed = rq->verdict == JOURNAL_NEVER || rq->verdict == JOURNAL_LATER;
    int rc = journal_find(j, rq->job, &job, &seq, err);
    if (rc < 0)
        return -1;
    if (rc == 0 || job.state != JOURNAL_RUNNING) {
        err_set(err, ERR_INTERNAL, "job %.128s is %s in the journal; a try of it cannot have ended",
                rq->job, rc == 0 ? "not" : journal_state_name(job.state));
        log_error("%s", err->msg);
        return -1;
    }
    rq->state = judge(rq, &job, &event);
    if (update_settled(j, rq, &job, seq, rq->state, err) < 0)
        return -1;
    return journal_note(j, seq, event, failed ? rq->why.msg : NULL, err);
}

/* ---- expiry ---- */

static int look_up(struct journal *j, struct journal_look_up *rq, struct err *err)
{
    for (rq->n = 0; rq->n < rq->max; rq->n++) {
        sqlite3_stmt *st = journal_db_statement(j, DO_UNASKED);
        int rc = journal_db_step(j, st, err);
        if (rc <= 0)
            return rc;
        int64_t seq = sqlite3_column_int64(st, 0);
        const char *id = (const char *)sqlite3_column_text(st, 1);
        if (!id || !job_id_is_valid(id))
            return journal_db_nonsense(j, "a row of jobs has no id", err);
        memcpy(rq->jobs[rq->n], id, strlen(id) + 1);
        sqlite3_reset(st);
        st = journal_db_statement(j, DO_ASKED);
        sqlite3_bind_int64(st, 1, seq);
        if (journal_db_run(j, st, err) < 0)
            return -1;
    }
    return 0;
}

static int learn_expiry(struct journal *j, const struct journal_expiry *rq, struct err *err)
{
    for (unsigned i = 0; i < rq->n; i++) {
        int64_t expires_ms = rq->expires_ms[i];
        if (expires_ms == 0)
            continue;
        sqlite3_stmt *st = journal_db_statement(j, expires_ms < 0 ? DO_ASK_AGAIN : DO_EXPIRY);
        journal_bind_text(st, 1, rq->jobs[i]);
        if (expires_ms > 0)
            sqlite3_bind_int64(st, 2, expires_ms);
        if (journal_db_run(j, st, err) < 0)
            return -1;
    }
    return 0;
}

/* ---- retry, pause ---- */

static int retry_one(struct journal *j, struct journal_job *job, int64_t seq, struct err *err)
{
    if (journal_move(j, job, seq, JOURNAL_READY, journal_ready_place(job),
                     journal_db_statement(j, DO_MOVE_RETRIED), err) < 0)
        return -1;
    return journal_note(j, seq, EVENT_RETRIED, NULL, err);
}

/* A part of them a round: webhooks wait for none of it. Those that died since are not meant. */
static int retry_dead(struct journal *j, struct journal_retry *rq, struct err *err)
{
    struct journal_job job;
    int64_t seq;
    if (rq->until_ms == 0)
        rq->until_ms = j->now_ms;
    for (int i = 0; i < RETRIED_MAX; i++) {
        int rc = journal_first(j, JOURNAL_DEAD, INT64_MIN, rq->until_ms, &job, &seq, err);
        if (rc <= 0)
            return rc;
        if (retry_one(j, &job, seq, err) < 0)
            return -1;
        rq->retried++;
    }
    return 1;
}

static int retry(struct journal *j, struct journal_retry *rq, struct err *err)
{
    struct journal_job job;
    int64_t seq;
    rq->before = rq->retried;
    if (!rq->jobs)
        return retry_dead(j, rq, err);
    for (size_t i = 0; i < rq->n; i++) {
        int rc = journal_find(j, rq->jobs[i], &job, &seq, err);
        if (rc < 0)
            return -1;
        bool idle = rc > 0 && (job.state == JOURNAL_FAILED || job.state == JOURNAL_DEAD ||
                               job.state == JOURNAL_WAITING);
        if (idle && retry_one(j, &job, seq, err) < 0)
            return -1;
        rq->retried += idle;
        rq->unknown += rc == 0;
        rq->unchanged += rc > 0 && !idle;
    }
    return 0;
}

static int pause_claims(struct journal *j, const struct journal_pause *rq, struct err *err)
{
    sqlite3_stmt *st = journal_db_statement(j, DO_PAUSE);
    sqlite3_bind_int(st, 1, rq->paused);
    if (journal_db_run(j, st, err) < 0)
        return -1;
    j->tally.paused = rq->paused;
    return 0;
}

/* ---- all of them ---- */

int journal_carry_out(struct journal *j, struct journal_request *rq, struct err *err)
{
    switch (rq->kind) {
    case JOURNAL_ACCEPT:
        return accept_job(j, (struct journal_accept *)rq, err);
    case JOURNAL_CLAIM:
        return claim(j, (struct journal_claim *)rq, err);
    case JOURNAL_SETTLE:
        return settle(j, (struct journal_settle *)rq, err);
    case JOURNAL_LOOK_UP:
        return look_up(j, (struct journal_look_up *)rq, err);
    case JOURNAL_EXPIRY:
        return learn_expiry(j, (struct journal_expiry *)rq, err);
    case JOURNAL_RETRY:
        return retry(j, (struct journal_retry *)rq, err);
    case JOURNAL_PAUSE:
        return pause_claims(j, (struct journal_pause *)rq, err);
    default:
        return err_set(err, ERR_INTERNAL, "no such request to the journal (%d)", (int)rq->kind);
    }
}

void journal_take_back(struct journal_request *rq)
{
    if (rq->kind == JOURNAL_CLAIM)
        ((struct journal_claim *)rq)->n = 0;
    else if (rq->kind == JOURNAL_LOOK_UP)
        ((struct journal_look_up *)rq)->n = 0;
    else if (rq->kind == JOURNAL_RETRY)
        ((struct journal_retry *)rq)->retried = ((struct journal_retry *)rq)->before;
}

int journal_recover(struct journal *j, size_t *recovered, struct err *err)
{
    struct journal_job job;
    int64_t seq;
    int rc;
    *recovered = 0;
    while ((rc = journal_first(j, JOURNAL_RUNNING, INT64_MIN, INT64_MAX, &job, &seq, err)) > 0) {
        if (journal_move(j, &job, seq, JOURNAL_READY, journal_ready_place(&job),
                         journal_db_statement(j, DO_MOVE), err) < 0 ||
            journal_note(j, seq, EVENT_RECOVERED, NULL, err) < 0)
            return -1;
        ++*recovered;
    }
    FAULT_POINT("journal-recovery");
    return rc;
}

/* A value that is not there yet: one that is there already would not be written. */
int journal_probe(struct journal *j, struct err *err)
{
    sqlite3_stmt *st = journal_db_statement(j, DO_PROBE);
    sqlite3_bind_int64(st, 1, j->now_ms);
    return journal_db_run(j, st, err);
}

/* ---- pruning ---- */

static int forget(struct journal *j, const struct journal_job *job, int64_t seq, struct err *err)
{
    static const enum journal_statement parts[] = {DO_FORGET_HISTORY, DO_FORGET};
    for (int i = 0; i < 2; i++) {
        sqlite3_stmt *st = journal_db_statement(j, parts[i]);
        sqlite3_bind_int64(st, 1, seq);
        if (journal_db_run(j, st, err) < 0)
            return -1;
    }
    j->tally.jobs[job->state]--;
    return 0;
}

int64_t journal_surplus(const struct journal *j)
{
    const int64_t *jobs = j->tally.jobs;
    return jobs[JOURNAL_STORED] + jobs[JOURNAL_FAILED] + jobs[JOURNAL_DEAD] - j->keep_jobs;
}

/* The finished job that ended first. */
static int oldest_finished(struct journal *j, struct journal_job *job, int64_t *seq,
                           struct err *err)
{
    static const enum journal_state finished[] = {JOURNAL_STORED, JOURNAL_FAILED, JOURNAL_DEAD};
    int found = 0;
    for (int i = 0; i < 3; i++) {
        struct journal_job candidate;
        int64_t candidate_seq;
        int rc =
            journal_first(j, finished[i], INT64_MIN, INT64_MAX, &candidate, &candidate_seq, err);
        if (rc < 0)
            return -1;
        if (rc > 0 && (!found || candidate.ended_ms < job->ended_ms)) {
            *job = candidate;
            *seq = candidate_seq;
            found = 1;
        }
    }
    return found;
}

int journal_prune(struct journal *j, int max, int *n, struct err *err)
{
    struct journal_job job = {0};
    int64_t seq = 0;
    for (*n = 0; *n < max; ++*n) {
        int rc = oldest_finished(j, &job, &seq, err);
        if (rc < 0)
            return -1;
        if (rc == 0 || (journal_surplus(j) <= 0 && job.ended_ms > j->now_ms - j->keep_ms))
            return 0;
        if (forget(j, &job, seq, err) < 0)
            return -1;
    }
    return 0;
}
