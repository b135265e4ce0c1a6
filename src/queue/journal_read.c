/* SPDX-License-Identifier: Apache-2.0
 *
 * journal_read: the requests that only look: stats, list and get.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/mem.h"
#include "core/text.h"
#include "queue/journal_private.h"

enum { SEARCHED_MAX = 2000 }; /* rows looked at for a page of a prefix */

static const char *const event_names[EVENTS] = {
    [EVENT_RECEIVED] = "received",   [EVENT_CLAIMED] = "claimed",
    [EVENT_STORED] = "stored",       [EVENT_ALREADY] = "already stored",
    [EVENT_FAILED] = "failed",       [EVENT_LATER] = "later",
    [EVENT_DEAD] = "dead",           [EVENT_RELEASED] = "released",
    [EVENT_RECOVERED] = "recovered", [EVENT_RETRIED] = "retried",
};

/* ---- rows ---- */

/* A copy of a text column, cut to max bytes; NULL when there is none. */
static char *copy_text(sqlite3_stmt *st, int column, size_t max)
{
    const char *text = (const char *)sqlite3_column_text(st, column);
    return text && *text ? xstrndup(text, max) : NULL;
}

int journal_row_read(sqlite3_stmt *st, struct journal_job *job, int64_t *seq, bool texts)
{
    const char *id = (const char *)sqlite3_column_text(st, 1);
    const char *error_name = (const char *)sqlite3_column_text(st, 11);
    int64_t state = sqlite3_column_int64(st, 2), origin = sqlite3_column_int64(st, 3);
    int64_t attempts = sqlite3_column_int64(st, 9);
    memset(job, 0, sizeof(*job));
    *seq = sqlite3_column_int64(st, 0);
    if (!id || !job_id_is_valid(id) || state < 0 || state >= JOURNAL_STATES || origin < 0 ||
        origin > JOURNAL_BY_SYNC || attempts < 0 || attempts > INT32_MAX)
        return -1;
    memcpy(job->id, id, strlen(id) + 1);
    job->state = (enum journal_state)state;
    job->origin = (enum journal_origin)origin;
    job->received_ms = sqlite3_column_int64(st, 4);
    job->expires_ms = sqlite3_column_int64(st, 5);
    job->next_ms = sqlite3_column_int64(st, 6);
    job->claimed_ms = sqlite3_column_int64(st, 7);
    job->ended_ms = sqlite3_column_int64(st, 8);
    job->attempts = (unsigned)attempts;
    job->bytes = (uint64_t)sqlite3_column_int64(st, 10);
    snprintf(job->error_name, sizeof(job->error_name), "%s", error_name ? error_name : "");
    text_make_printable(job->error_name);
    if (!texts)
        return 0;
    job->error = copy_text(st, 12, JOURNAL_ERROR_MAX);
    if (job->error)
        text_make_printable(job->error);
    if (sqlite3_column_bytes(st, 13) <= JOURNAL_OBJECTS_MAX)
        job->objects = copy_text(st, 13, JOURNAL_OBJECTS_MAX);
    return 0;
}

void journal_job_release(struct journal_job *job)
{
    free(job->error);
    free(job->objects);
    job->error = job->objects = NULL;
}

/* ---- stats ---- */

/* The number in the first row that st gives; 0 when there is none. */
static int number(struct journal *j, sqlite3_stmt *st, int64_t *value, struct err *err)
{
    int rc = journal_db_step(j, st, err);
    *value = rc > 0 ? sqlite3_column_int64(st, 0) : 0;
    sqlite3_reset(st);
    return rc < 0 ? -1 : 0;
}

static uint64_t file_size(const char *path, const char *suffix)
{
    struct stat sb;
    char *name = xprintf("%s%s", path, suffix);
    uint64_t bytes = stat(name, &sb) == 0 ? (uint64_t)sb.st_size : 0;
    free(name);
    return bytes;
}

static int stats(struct journal *j, struct journal_stats *rq, struct err *err)
{
    int64_t oldest[2];
    memcpy(rq->jobs, j->tally.jobs, sizeof(rq->jobs));
    rq->paused = j->tally.paused;
    rq->commits = j->commits;
    rq->requests = j->requests;
    rq->file_bytes = file_size(j->path, "") + file_size(j->path, "-wal");
    sqlite3_stmt *st = journal_db_statement(j, DO_NEAR);
    sqlite3_bind_int64(st, 1, j->now_ms + rq->near_ms);
    sqlite3_bind_int(st, 2, JOURNAL_NEAR_MAX);
    if (number(j, st, &rq->near_expiry, err) < 0 ||
        number(j, journal_db_statement(j, DO_SOONEST), &rq->soonest_ms, err) < 0)
        return -1;
    for (int asked = 0; asked < 2; asked++) {
        st = journal_db_statement(j, DO_OLDEST);
        sqlite3_bind_int(st, 1, asked);
        if (number(j, st, &oldest[asked], err) < 0)
            return -1;
    }
    bool first = oldest[0] && (!oldest[1] || oldest[0] < oldest[1]);
    rq->oldest_ms = oldest[first ? 0 : 1];
    return 0;
}

/* ---- list ---- */

/* The order in which states are listed. */
static const enum journal_state listed[JOURNAL_STATES] = {
    JOURNAL_RUNNING, JOURNAL_READY, JOURNAL_WAITING, JOURNAL_DEAD, JOURNAL_FAILED, JOURNAL_STORED,
};

static bool goes_up(enum journal_state state)
{
    return state == JOURNAL_READY || state == JOURNAL_WAITING;
}

struct cursor { /* "STATE:PLACE:SEQ" of the last row that was told */
    int at;     /* in listed[] */
    int64_t place_ms, seq;
};

static int position(enum journal_state state)
{
    int at = 0;
    while (listed[at] != state)
        at++;
    return at;
}

static void start_of(struct cursor *c, int at)
{
    bool up = at < JOURNAL_STATES && goes_up(listed[at]);
    *c = (struct cursor){at, up ? INT64_MIN : INT64_MAX, up ? INT64_MIN : INT64_MAX};
}

static int cursor_parse(const struct journal_list *rq, struct cursor *c, struct err *err)
{
    char text[JOURNAL_CURSOR_SIZE];
    int64_t state;
    start_of(c, rq->state < 0 ? 0 : position((enum journal_state)rq->state));
    if (!*rq->after)
        return 0;
    snprintf(text, sizeof(text), "%s", rq->after);
    char *place = strchr(text, ':'), *seq = place ? strchr(place + 1, ':') : NULL;
    if (seq) {
        *place++ = '\0';
        *seq++ = '\0';
        if (text_parse_int(text, 0, JOURNAL_STATES - 1, &state) == 0 &&
            (rq->state < 0 || rq->state == state) &&
            text_parse_int(place, INT64_MIN, INT64_MAX, &c->place_ms) == 0 &&
            text_parse_int(seq, 0, INT64_MAX, &c->seq) == 0) {
            c->at = position((enum journal_state)state);
            return 0;
        }
    }
    return err_set(err, ERR_INPUT, "after: expected the \"next\" of the page before");
}

/* Adds the row that st is at. */
static int add_row(struct journal *j, struct journal_list *rq, sqlite3_stmt *st, int64_t *seq,
                   struct err *err)
{
    if (journal_row_read(st, &rq->jobs[rq->n], seq, true) < 0)
        return journal_db_nonsense(j, "a row of jobs makes no sense", err);
    rq->n++;
    return 0;
}

static int list_state(struct journal *j, struct journal_list *rq, struct cursor *c, struct err *err)
{
    enum journal_state state = listed[c->at];
    sqlite3_stmt *st = journal_db_statement(j, goes_up(state) ? DO_LIST_UP : DO_LIST_DOWN);
    sqlite3_bind_int(st, 1, (int)state);
    sqlite3_bind_int64(st, 2, c->place_ms);
    sqlite3_bind_int64(st, 3, c->seq);
    sqlite3_bind_int64(st, 4, (int64_t)rq->limit + 1 - rq->n);
    int rc;
    while ((rc = journal_db_step(j, st, err)) > 0 && rq->n < rq->limit) {
        if (add_row(j, rq, st, &c->seq, err) < 0)
            return -1;
        c->place_ms = sqlite3_column_int64(st, 14);
    }
    return rc; /* 1: there is more of this state */
}

static int list_by_place(struct journal *j, struct journal_list *rq, struct err *err)
{
    struct cursor c;
    int rc = cursor_parse(rq, &c, err);
    while (rc == 0 && c.at < JOURNAL_STATES) {
        rc = list_state(j, rq, &c, err);
        if (rc == 0 && rq->state >= 0)
            return 0;
        if (rc == 0)
            start_of(&c, c.at + 1);
    }
    if (rc > 0) /* of a place before any, when the page ended with the state before */
        snprintf(rq->next, sizeof(rq->next), "%d:%" PRId64 ":%" PRId64, (int)listed[c.at],
                 c.place_ms, c.seq < 0 ? 0 : c.seq);
    return rc < 0 ? -1 : 0;
}

static int list_by_id(struct journal *j, struct journal_list *rq, struct err *err)
{
    char end[JOB_ID_MAX + 1];
    size_t len = strlen(rq->prefix);
    int64_t seq;
    int rc, searched = 0;
    if (!job_id_is_valid(rq->prefix))
        return 0; /* no id begins so */
    memcpy(end, rq->prefix, len + 1);
    end[len - 1]++; /* of [A-Za-z0-9_-]: what follows them is no part of an id, and sorts behind */
    sqlite3_stmt *st = journal_db_statement(j, DO_LIST_BY_ID);
    journal_bind_text(st, 1, rq->after);
    journal_bind_text(st, 2, rq->prefix);
    journal_bind_text(st, 3, end);
    sqlite3_bind_int(st, 4, SEARCHED_MAX + 1);
    char last[JOB_ID_MAX + 1] = "";
    while ((rc = journal_db_step(j, st, err)) > 0 && rq->n < rq->limit &&
           searched++ < SEARCHED_MAX) {
        if (add_row(j, rq, st, &seq, err) < 0)
            return -1;
        struct journal_job *job = &rq->jobs[rq->n - 1];
        memcpy(last, job->id, sizeof(last));
        if (rq->state >= 0 && job->state != (enum journal_state)rq->state) {
            journal_job_release(job);
            rq->n--;
        }
    }
    if (rc > 0)
        memcpy(rq->next, last, sizeof(last));
    return rc < 0 ? -1 : 0;
}

static int list(struct journal *j, struct journal_list *rq, struct err *err)
{
    rq->n = 0;
    rq->next[0] = '\0';
    rq->jobs = NULL;
    if (rq->limit < 1 || rq->limit > JOURNAL_PAGE_MAX || rq->state >= JOURNAL_STATES)
        return err_set(err, ERR_INPUT, "limit: expected a number from 1 to %d", JOURNAL_PAGE_MAX);
    rq->jobs = xcalloc(rq->limit, sizeof(rq->jobs[0]));
    int rc = *rq->prefix ? list_by_id(j, rq, err) : list_by_place(j, rq, err);
    if (rc < 0)
        journal_list_release(rq);
    return rc;
}

void journal_list_release(struct journal_list *rq)
{
    for (unsigned i = 0; i < rq->n; i++)
        journal_job_release(&rq->jobs[i]);
    free(rq->jobs);
    rq->jobs = NULL;
    rq->n = 0;
}

/* ---- get ---- */

static void add_entry(struct journal_get *rq, int64_t at_ms, int64_t what, char *text)
{
    struct journal_entry *e = &rq->history[rq->n_history++];
    e->at_ms = at_ms;
    e->text = text;
    snprintf(e->what, sizeof(e->what), "%s",
             what >= 0 && what < EVENTS ? event_names[what] : "unknown");
}

/* That a job was received for the first time its row says, to keep accepting cheap. */
static int history(struct journal *j, struct journal_get *rq, int64_t seq, struct err *err)
{
    int64_t first_ms;
    sqlite3_stmt *st = journal_db_statement(j, DO_FIRST_MS);
    sqlite3_bind_int64(st, 1, seq);
    if (number(j, st, &first_ms, err) < 0)
        return -1;
    st = journal_db_statement(j, DO_HISTORY);
    sqlite3_bind_int64(st, 1, seq);
    rq->history = xcalloc(JOURNAL_HISTORY_MAX, sizeof(rq->history[0]));
    int rc;
    while ((rc = journal_db_step(j, st, err)) > 0 && rq->n_history < JOURNAL_HISTORY_MAX) {
        if (rq->n_history == 0 && sqlite3_column_int64(st, 0) == 1)
            add_entry(rq, first_ms, EVENT_RECEIVED, NULL);
        add_entry(rq, sqlite3_column_int64(st, 1), sqlite3_column_int64(st, 2),
                  copy_text(st, 3, JOURNAL_ERROR_MAX));
    }
    if (rq->n_history == 0)
        add_entry(rq, first_ms, EVENT_RECEIVED, NULL);
    return rc < 0 ? -1 : 0;
}

static int get(struct journal *j, struct journal_get *rq, struct err *err)
{
    int64_t seq = 0;
    rq->found = false;
    rq->history = NULL;
    rq->n_history = 0;
    memset(&rq->row, 0, sizeof(rq->row));
    sqlite3_stmt *st = journal_db_statement(j, DO_FIND);
    journal_bind_text(st, 1, rq->job);
    int rc = journal_db_step(j, st, err);
    if (rc > 0 && journal_row_read(st, &rq->row, &seq, true) < 0)
        rc = journal_db_nonsense(j, "a row of jobs makes no sense", err);
    if (rc > 0)
        rc = history(j, rq, seq, err) < 0 ? -1 : 1;
    rq->found = rc > 0;
    if (rc < 0)
        journal_get_release(rq);
    return rc < 0 ? -1 : 0;
}

void journal_get_release(struct journal_get *rq)
{
    journal_job_release(&rq->row);
    for (unsigned i = 0; i < rq->n_history; i++)
        free(rq->history[i].text);
    free(rq->history);
    rq->history = NULL;
    rq->n_history = 0;
}

void journal_look(struct journal *j, struct journal_request *rq)
{
    if (rq->kind == JOURNAL_STATS)
        stats(j, (struct journal_stats *)rq, &rq->err);
    else if (rq->kind == JOURNAL_LIST)
        list(j, (struct journal_list *)rq, &rq->err);
    else
        get(j, (struct journal_get *)rq, &rq->err);
}
