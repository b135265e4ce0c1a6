/* SPDX-License-Identifier: Apache-2.0
 *
 * journal_hand: a journal looked at by hand: whether it is sound, and what of it can be read.
 * Nothing is written, and no lock is taken: it may be in use.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "core/mem.h"
#include "queue/journal_private.h"

enum { COMPLAINTS_MAX = 100 };

/* forgiving: also a file that is shorter than its header says, or whose schema is odd. */
static int open_to_read(const char *path, bool forgiving, sqlite3 **db, struct err *err)
{
    int version = 0;
    *db = NULL;
    if (access(path, R_OK) < 0)
        return err_set_errno(err, ERR_CONFIG, errno, "journal %s", path);
    int rc = sqlite3_open_v2(path, db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc != SQLITE_OK || journal_db_harden(*db) < 0)
        return journal_db_explain(*db, path, err);
    if (forgiving) {
        sqlite3_db_config(*db, SQLITE_DBCONFIG_DEFENSIVE, 0, NULL);
        sqlite3_db_config(*db, SQLITE_DBCONFIG_WRITABLE_SCHEMA, 1, NULL);
    }
    if (journal_schema_check(*db, path, &version, err) < 0)
        return -1;
    if (version == 0)
        return err_set(err, ERR_CONFIG, "%s: an empty file, no journal of egress yet", path);
    return 0;
}

/* ---- check ---- */

/* Rows that SQLite finds nothing wrong with, and egress does. */
static int check_rows(sqlite3 *db, const char *path, struct buf *report, int64_t *n,
                      struct err *err)
{
    sqlite3_stmt *st = NULL;
    struct journal_job job;
    int64_t seq;
    int rc = sqlite3_prepare_v2(db, "SELECT " JOURNAL_COLUMNS " FROM jobs", -1, &st, NULL);
    while (rc == SQLITE_OK && (rc = sqlite3_step(st)) == SQLITE_ROW) {
        rc = SQLITE_OK;
        if (journal_row_read(st, &job, &seq, false) == 0 || ++*n > COMPLAINTS_MAX)
            continue;
        buf_printf(report, "jobs, row %" PRId64 ": its values make no sense\n", seq);
    }
    if (rc != SQLITE_DONE)
        (void)journal_db_explain(db, path, err);
    sqlite3_finalize(st);
    return rc == SQLITE_DONE ? 0 : -1;
}

static int check_pages(sqlite3 *db, const char *path, struct buf *report, int64_t *n,
                       struct err *err)
{
    sqlite3_stmt *st = NULL;
    char sql[64];
    snprintf(sql, sizeof(sql), "PRAGMA integrity_check(%d)", COMPLAINTS_MAX);
    int rc = sqlite3_prepare_v2(db, sql, -1, &st, NULL);
    while (rc == SQLITE_OK && (rc = sqlite3_step(st)) == SQLITE_ROW) {
        const char *text = (const char *)sqlite3_column_text(st, 0);
        rc = SQLITE_OK;
        if (text && strcmp(text, "ok") == 0)
            continue;
        buf_printf(report, "%s\n", text ? text : "?");
        ++*n;
    }
    if (rc != SQLITE_DONE)
        (void)journal_db_explain(db, path, err);
    sqlite3_finalize(st);
    return rc == SQLITE_DONE ? 0 : -1;
}

int journal_check(const char *path, struct buf *report, struct err *err)
{
    sqlite3 *db;
    int64_t n = 0;
    int rc = open_to_read(path, false, &db, err);
    if (rc == 0 &&
        (check_pages(db, path, report, &n, err) < 0 || check_rows(db, path, report, &n, err) < 0))
        rc = -1;
    if (rc < 0)
        buf_printf(report, "%s\n", err->msg);
    else if (n > 0)
        rc = err_set(err, ERR_CONFIG,
                     "%s: damaged; `egress journal export` saves the jobs that can be read", path);
    sqlite3_close(db);
    return rc;
}

/* ---- export ---- */

struct walk {
    sqlite3 *db;
    sqlite3_stmt *st;
    int (*each)(void *arg, const struct journal_job *job);
    void *arg;
    uint64_t unreadable; /* rows that make no sense, stretches of pages that cannot be read */
};

/* Positions at the first row from seq on. SQLITE_ROW, SQLITE_DONE, or an error. */
static int seek(struct walk *w, int64_t seq)
{
    sqlite3_reset(w->st);
    sqlite3_bind_int64(w->st, 1, seq);
    return sqlite3_step(w->st);
}

static bool is_readable(struct walk *w, int64_t seq)
{
    int rc = seek(w, seq);
    return rc == SQLITE_ROW || rc == SQLITE_DONE;
}

/* Rows from `bad` on cannot be read: where the next readable ones begin. Pages hold rows in the
 * order of their numbers, so what is damaged is a stretch of them: its end is looked for with
 * growing steps, then between the last two. */
static int64_t behind(struct walk *w, int64_t bad)
{
    int64_t step = 1, good = INT64_MAX;
    while (step < INT64_MAX / 4 && bad < INT64_MAX - step) {
        if (is_readable(w, bad + step)) {
            good = bad + step;
            break;
        }
        bad += step;
        step *= 2;
    }
    while (good != INT64_MAX && good - bad > 1) {
        int64_t middle = bad + (good - bad) / 2;
        if (is_readable(w, middle))
            good = middle;
        else
            bad = middle;
    }
    return good;
}

/* -1: each() wants no more. */
static int walk_all(struct walk *w)
{
    struct journal_job job;
    int64_t next = 1, seq;
    int rc = seek(w, next);
    while (rc != SQLITE_DONE) {
        if (rc != SQLITE_ROW) {
            w->unreadable++;
            next = behind(w, next);
            if (next == INT64_MAX)
                return 0;
            rc = seek(w, next);
            continue;
        }
        next = sqlite3_column_int64(w->st, 0);
        int bad = journal_row_read(w->st, &job, &seq, true);
        w->unreadable += bad < 0;
        int end = bad < 0 ? 0 : w->each(w->arg, &job);
        journal_job_release(&job);
        if (end < 0)
            return -1;
        if (next == INT64_MAX)
            return 0;
        next++;
        rc = sqlite3_step(w->st);
    }
    return 0;
}

int journal_export(const char *path, int (*each)(void *arg, const struct journal_job *job),
                   void *arg, struct err *err)
{
    struct walk w = {.each = each, .arg = arg};
    int rc = open_to_read(path, true, &w.db, err);
    if (rc == 0 && sqlite3_prepare_v2(
                       w.db, "SELECT " JOURNAL_COLUMNS " FROM jobs WHERE seq >= ?1 ORDER BY seq",
                       -1, &w.st, NULL) != SQLITE_OK)
        rc = journal_db_explain(w.db, path, err);
    if (rc == 0 && walk_all(&w) == 0 && w.unreadable)
        rc = err_set(err, ERR_CONFIG,
                     "%s: damaged; %" PRIu64 " rows or stretches of rows could not be read", path,
                     w.unreadable);
    sqlite3_finalize(w.st);
    sqlite3_close(w.db);
    return rc;
}
