/* SPDX-License-Identifier: Apache-2.0
 *
 * journal_moves: how a job gets from one state to another.
 */
#include <string.h>

#include "core/log.h"
#include "queue/journal_private.h"

/* What may become of a state. docs/STATES.md says of each move what makes it. */
#define TO(s) (1u << JOURNAL_##s)
static const struct {
    const char *name;
    unsigned next;
} journal_moves[JOURNAL_STATES] = {
    [JOURNAL_WAITING] = {"waiting", TO(READY)},
    [JOURNAL_READY] = {"ready", TO(RUNNING)},
    [JOURNAL_RUNNING] = {"running", TO(READY) | TO(WAITING) | TO(STORED) | TO(FAILED) | TO(DEAD)},
    [JOURNAL_STORED] = {"stored", TO(READY)},
    [JOURNAL_FAILED] = {"failed", TO(READY)},
    [JOURNAL_DEAD] = {"dead", TO(READY)},
};
#undef TO

const char *journal_state_name(enum journal_state state)
{
    CHECK(state < JOURNAL_STATES);
    return journal_moves[state].name;
}

enum journal_state journal_state_parse(const char *name)
{
    int state = 0;
    while (state < JOURNAL_STATES && strcmp(name, journal_moves[state].name) != 0)
        state++;
    return (enum journal_state)state;
}

/* Reads the one row that st gives. */
static int read_one(struct journal *j, sqlite3_stmt *st, struct journal_job *job, int64_t *seq,
                    struct err *err)
{
    int rc = journal_db_step(j, st, err);
    if (rc > 0 && journal_row_read(st, job, seq, false) < 0)
        rc = journal_db_nonsense(j, "a row of jobs makes no sense", err);
    sqlite3_reset(st);
    return rc;
}

int journal_find(struct journal *j, const char *id, struct journal_job *job, int64_t *seq,
                 struct err *err)
{
    sqlite3_stmt *st = journal_db_statement(j, DO_FIND);
    journal_bind_text(st, 1, id);
    return read_one(j, st, job, seq, err);
}

int journal_first(struct journal *j, enum journal_state state, int64_t from_ms, int64_t to_ms,
                  struct journal_job *job, int64_t *seq, struct err *err)
{
    sqlite3_stmt *st = journal_db_statement(j, DO_FIRST_OF_STATE);
    sqlite3_bind_int(st, 1, (int)state);
    sqlite3_bind_int64(st, 2, from_ms);
    sqlite3_bind_int64(st, 3, to_ms);
    return read_one(j, st, job, seq, err);
}

int64_t journal_ready_place(const struct journal_job *job)
{
    return job->expires_ms ? job->expires_ms : job->received_ms + JOURNAL_TTL_GUESS_MS;
}

int journal_move(struct journal *j, struct journal_job *job, int64_t seq, enum journal_state to,
                 int64_t place_ms, sqlite3_stmt *update, struct err *err)
{
    if (!(journal_moves[job->state].next & 1u << to)) {
        err_set(err, ERR_INTERNAL, "job %s is %s in the journal and cannot become %s", job->id,
                journal_state_name(job->state), journal_state_name(to));
        log_error("%s", err->msg);
        return -1;
    }
    sqlite3_bind_int64(update, 1, seq);
    sqlite3_bind_int(update, 2, (int)job->state);
    sqlite3_bind_int(update, 3, (int)to);
    sqlite3_bind_int64(update, 4, place_ms);
    if (journal_db_run(j, update, err) < 0)
        return -1;
    if (sqlite3_changes(j->db) != 1)
        return journal_db_nonsense(j, "an index names a job that is not there", err);
    j->tally.jobs[job->state]--;
    j->tally.jobs[to]++;
    job->state = to;
    return 0;
}

int journal_note(struct journal *j, int64_t seq, enum journal_event event, const char *text,
                 struct err *err)
{
    sqlite3_stmt *st = journal_db_statement(j, DO_LAST_EVENT);
    sqlite3_bind_int64(st, 1, seq);
    if (journal_db_step(j, st, err) < 0)
        return -1;
    int64_t n = sqlite3_column_int64(st, 0) + 1; /* NULL is 0 */
    sqlite3_reset(st);

    st = journal_db_statement(j, DO_ADD_EVENT);
    sqlite3_bind_int64(st, 1, seq);
    sqlite3_bind_int64(st, 2, n);
    sqlite3_bind_int64(st, 3, j->now_ms);
    sqlite3_bind_int(st, 4, (int)event);
    journal_bind_text(st, 5, text && *text ? text : NULL);
    if (journal_db_run(j, st, err) < 0)
        return -1;
    if (n < JOURNAL_HISTORY_MAX) /* one is that it was received, of which there is no row */
        return 0;
    st = journal_db_statement(j, DO_CUT_HISTORY);
    sqlite3_bind_int64(st, 1, seq);
    sqlite3_bind_int64(st, 2, n - JOURNAL_HISTORY_MAX + 1);
    return journal_db_run(j, st, err);
}
