/* SPDX-License-Identifier: Apache-2.0
 *
 * journal_schema: the tables of the journal, as the steps that lead to them. A step is never
 * changed once it was released: what is to be otherwise is one step more.
 */
#include "core/fault_point.h"
#include "core/log.h"
#include "queue/journal_private.h"

/* state, origin, what: the numbers of their enums. Times: Unix milliseconds; 0: not known, or not
 * yet. place_ms: where a job stands in the order of its state, so that one index serves claiming,
 * becoming due, listing and pruning: READY: when it expires or is taken to; WAITING: its next try;
 * RUNNING: when it was claimed; else: when it ended. asked: its expiry was asked for. */
static const char *const steps[] = {
    /* 1 */
    "CREATE TABLE jobs ("
    " seq INTEGER PRIMARY KEY,"
    " id TEXT NOT NULL UNIQUE,"
    " state INTEGER NOT NULL,"
    " place_ms INTEGER NOT NULL,"
    " origin INTEGER NOT NULL,"
    " first_ms INTEGER NOT NULL," /* when it was first named of all times */
    " received_ms INTEGER NOT NULL,"
    " expires_ms INTEGER NOT NULL,"
    " asked INTEGER NOT NULL,"
    " next_ms INTEGER NOT NULL DEFAULT 0,"
    " claimed_ms INTEGER NOT NULL DEFAULT 0,"
    " ended_ms INTEGER NOT NULL DEFAULT 0,"
    " attempts INTEGER NOT NULL DEFAULT 0,"
    " bytes INTEGER NOT NULL DEFAULT 0,"
    " error_name TEXT,"
    " error TEXT,"
    " objects TEXT);"
    "CREATE INDEX jobs_by_place ON jobs (state, place_ms);"
    "CREATE INDEX jobs_by_age ON jobs (asked, received_ms) WHERE state <= 2;"
    "CREATE INDEX jobs_by_expiry ON jobs (expires_ms) WHERE state <= 2 AND expires_ms > 0;"
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
    "PRAGMA application_id = 0x65677273;",
    /* 2: what happened to a job; n counts up from 1 */
    "CREATE TABLE history ("
    " job INTEGER NOT NULL,"
    " n INTEGER NOT NULL,"
    " at_ms INTEGER NOT NULL,"
    " what INTEGER NOT NULL,"
    " text TEXT,"
    " PRIMARY KEY (job, n)) WITHOUT ROWID;",
};

enum { VERSION = sizeof(steps) / sizeof(steps[0]) };

/* The single number that sql gives. */
static int number(sqlite3 *db, const char *path, const char *sql, int *value, struct err *err)
{
    sqlite3_stmt *st = NULL;
    int rc = 0;
    if (sqlite3_prepare_v2(db, sql, -1, &st, NULL) == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW)
        *value = sqlite3_column_int(st, 0);
    else
        rc = journal_db_explain(db, path, err);
    sqlite3_finalize(st);
    return rc;
}

int journal_schema_check(sqlite3 *db, const char *path, int *version, struct err *err)
{
    int id = 0, tables = 0;
    if (number(db, path, "PRAGMA application_id", &id, err) < 0 ||
        number(db, path, "PRAGMA user_version", version, err) < 0 ||
        number(db, path, "SELECT count(*) FROM sqlite_schema", &tables, err) < 0)
        return -1;
    if (id != JOURNAL_APPLICATION_ID && (id != 0 || *version != 0 || tables != 0))
        return err_set(err, ERR_CONFIG,
                       "%s: an SQLite database of another program; name another --journal", path);
    if (*version < 0 || *version > VERSION)
        return err_set(err, ERR_CONFIG,
                       "%s: of a newer egress (version %d of the journal; this one knows %d); use "
                       "that, or name another --journal",
                       path, *version, VERSION);
    return 0;
}

static int take_step(struct journal *j, int step, struct err *err)
{
    char number_sql[64];
    snprintf(number_sql, sizeof(number_sql), "PRAGMA user_version = %d", step);
    bool done = sqlite3_exec(j->db, "BEGIN IMMEDIATE", NULL, NULL, NULL) == SQLITE_OK &&
                sqlite3_exec(j->db, steps[step - 1], NULL, NULL, NULL) == SQLITE_OK &&
                sqlite3_exec(j->db, number_sql, NULL, NULL, NULL) == SQLITE_OK;
    FAULT_POINT("journal-upgrade");
    if (done && sqlite3_exec(j->db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK)
        return 0;
    journal_db_explain(j->db, j->path, err);
    journal_db_roll_back(j);
    return -1;
}

int journal_schema_upgrade(struct journal *j, int version, struct err *err)
{
    int before = version;
    while (version < VERSION)
        if (take_step(j, ++version, err) < 0)
            return -1;
    if (before > 0 && before < VERSION)
        log_info("%s: upgraded from version %d to %d", j->path, before, VERSION);
    return 0;
}
