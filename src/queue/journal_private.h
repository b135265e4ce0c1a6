/* SPDX-License-Identifier: Apache-2.0
 *
 * journal_private: what the files of the journal share. Nobody else includes it.
 *
 *   journal.c         the thread: rounds, checkpoints, pruning, opening and closing
 *   journal_db.c      the file: its lock, the connection, statements, what SQLite's errors mean
 *   journal_schema.c  tables, and the steps from an older version to this one
 *   journal_moves.c   the table of legal moves, and the function that makes them
 *   journal_rows.c    requests that change something
 *   journal_read.c    requests that only look
 *   journal_hand.c    check and export, of files that may be damaged
 *
 * All functions: the journal's thread; before it runs and after it has ended, that of
 * journal_open() and journal_close(). 0 or -1 with *err. A failure of SQLite's also sets
 * journal.broken: then the whole round is undone. Any other is the request's alone, and has to come
 * before anything of it was changed.
 */
#ifndef EGRESS_QUEUE_JOURNAL_PRIVATE_H
#define EGRESS_QUEUE_JOURNAL_PRIVATE_H

#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "queue/journal.h"

/* ---- what is in the file ---- */

enum { JOURNAL_APPLICATION_ID = 0x65677273 }; /* "egrs" */

/* An entry of the history. The numbers are in the file. */
enum journal_event {
    EVENT_RECEIVED,
    EVENT_CLAIMED,
    EVENT_STORED,
    EVENT_ALREADY,
    EVENT_FAILED,
    EVENT_LATER,
    EVENT_DEAD,
    EVENT_RELEASED,
    EVENT_RECOVERED,
    EVENT_RETRIED,
    EVENTS
};

/* The columns that journal_row_read() reads, in its order. */
#define JOURNAL_COLUMNS                                                                            \
    "seq, id, state, origin, received_ms, expires_ms, next_ms, claimed_ms, ended_ms, attempts, "   \
    "bytes, error_name, error, objects"

/* X(name, SQL). A + before a column keeps its index from being used: SQLite takes just one lower
 * bound of an index, and it is to be the other. Of those that change a state, ?1 to ?4 are bound by
 * journal_move(): the row, the old state, the new one, and the place in its order. */
#define MOVE_SQL(more)                                                                             \
    "UPDATE jobs SET state = ?3, place_ms = ?4" more " WHERE seq = ?1 AND state = ?2"
#define LIST_SQL(order, direction)                                                                 \
    "SELECT " JOURNAL_COLUMNS ", place_ms FROM jobs WHERE state = ?1 AND (place_ms, seq) " order   \
    " (?2, ?3) ORDER BY place_ms " direction ", seq " direction " LIMIT ?4"
#define JOURNAL_STATEMENTS(X)                                                                      \
    X(BEGIN, "BEGIN IMMEDIATE")                                                                    \
    X(COMMIT, "COMMIT")                                                                            \
    X(INSERT, "INSERT INTO jobs (id, state, place_ms, origin, first_ms, received_ms, expires_ms, " \
              "asked) VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6, ?6 > 0) ON CONFLICT (id) DO NOTHING")    \
    X(FIND, "SELECT " JOURNAL_COLUMNS " FROM jobs WHERE id = ?1")                                  \
    X(FIRST_OF_STATE, "SELECT " JOURNAL_COLUMNS " FROM jobs WHERE state = ?1 AND place_ms "        \
                      "BETWEEN ?2 AND ?3 ORDER BY place_ms, seq LIMIT 1")                          \
    X(FIRST_PLACE, "SELECT place_ms FROM jobs WHERE state = ?1 ORDER BY place_ms LIMIT 1")         \
    X(MOVE, MOVE_SQL(""))                                                                          \
    X(MOVE_READY, MOVE_SQL(", next_ms = 0"))                                                       \
    X(MOVE_CLAIMED, MOVE_SQL(", claimed_ms = ?5"))                                                 \
    X(MOVE_SETTLED,                                                                                \
      MOVE_SQL(", attempts = ?5, next_ms = ?6, ended_ms = ?7, bytes = ?8, error_name = ?9, "       \
               "error = ?10, objects = ?11, expires_ms = ?12, asked = asked OR ?12 > 0"))          \
    X(MOVE_RELEASED, MOVE_SQL(", expires_ms = ?5, asked = asked OR ?5 > 0"))                       \
    X(MOVE_RETRIED, MOVE_SQL(", attempts = 0, next_ms = 0, ended_ms = 0"))                         \
    X(MOVE_AGAIN,                                                                                  \
      MOVE_SQL(", attempts = 0, next_ms = 0, claimed_ms = 0, ended_ms = 0, error_name = NULL, "    \
               "error = NULL, origin = ?5, received_ms = ?6, expires_ms = ?7, asked = ?7 > 0"))    \
    X(UNASKED, "SELECT seq, id FROM jobs WHERE state <= 2 AND asked = 0 ORDER BY received_ms "     \
               "LIMIT 1")                                                                          \
    X(ASKED, "UPDATE jobs SET asked = 1 WHERE seq = ?1")                                           \
    X(ASK_AGAIN, "UPDATE jobs SET asked = 0 WHERE id = ?1 AND state <= 2")                         \
    X(EXPIRY, "UPDATE jobs SET expires_ms = ?2, asked = 1, place_ms = CASE state WHEN 1 THEN ?2 "  \
              "ELSE place_ms END WHERE id = ?1 AND state <= 2")                                    \
    X(LAST_EVENT, "SELECT max(n) FROM history WHERE job = ?1")                                     \
    X(ADD_EVENT, "INSERT INTO history (job, n, at_ms, what, text) VALUES (?1, ?2, ?3, ?4, ?5)")    \
    X(CUT_HISTORY, "DELETE FROM history WHERE job = ?1 AND n <= ?2")                               \
    X(HISTORY, "SELECT n, at_ms, what, text FROM history WHERE job = ?1 ORDER BY n")               \
    X(FIRST_MS, "SELECT first_ms FROM jobs WHERE seq = ?1")                                        \
    X(FORGET, "DELETE FROM jobs WHERE seq = ?1")                                                   \
    X(FORGET_HISTORY, "DELETE FROM history WHERE job = ?1")                                        \
    X(PAUSE, "INSERT INTO meta (name, value) VALUES ('paused', ?1) ON CONFLICT (name) DO UPDATE "  \
             "SET value = ?1")                                                                     \
    X(PAUSED, "SELECT value FROM meta WHERE name = 'paused'")                                      \
    X(PROBE, "INSERT INTO meta (name, value) VALUES ('probe', ?1) ON CONFLICT (name) DO UPDATE "   \
             "SET value = ?1")                                                                     \
    X(COUNT, "SELECT state, count(*) FROM jobs GROUP BY state")                                    \
    X(NEAR, "SELECT count(*) FROM (SELECT 1 FROM jobs WHERE state <= 2 AND expires_ms > 0 AND "    \
            "expires_ms <= ?1 LIMIT ?2)")                                                          \
    X(SOONEST, "SELECT expires_ms FROM jobs WHERE state <= 2 AND expires_ms > 0 ORDER BY "         \
               "expires_ms LIMIT 1")                                                               \
    X(OLDEST, "SELECT received_ms FROM jobs WHERE state <= 2 AND asked = ?1 ORDER BY received_ms " \
              "LIMIT 1")                                                                           \
    X(LIST_UP, LIST_SQL(">", "ASC"))                                                               \
    X(LIST_DOWN, LIST_SQL("<", "DESC"))                                                            \
    X(LIST_BY_ID,                                                                                  \
      "SELECT " JOURNAL_COLUMNS " FROM jobs WHERE id >= max(?1, ?2) AND +id > ?1 AND id < ?3 "     \
      "ORDER BY id LIMIT ?4")

enum journal_statement {
#define STATEMENT_ENUM(name, sql) DO_##name,
    JOURNAL_STATEMENTS(STATEMENT_ENUM)
#undef STATEMENT_ENUM
        JOURNAL_N_STATEMENTS
};

/* ---- in memory ---- */

struct journal_tally { /* of what is in the file; goes back with a round that is undone */
    int64_t jobs[JOURNAL_STATES];
    bool paused;
};

enum { JOURNAL_FILES = 2 }; /* the database and its WAL */

struct journal {
    char *path; /* owned; absolute, without symbolic links */
    int lock_fd;
    struct journal_place { /* which files these are: set by journal_db_remember_place() */
        bool known;
        dev_t dev;
        ino_t ino;
    } place[JOURNAL_FILES];
    int64_t keep_ms, keep_jobs, queue_max;
    pthread_t thread;

    pthread_mutex_t lock;
    pthread_cond_t wake; /* CLOCK_MONOTONIC */
    /* under the lock */
    struct journal_request *first;
    struct journal_request **last_next;
    bool patient;            /* all that have come: they may wait until patient_mono_ms */
    int64_t patient_mono_ms; /* clock_mono_ms() */
    bool ending;

    /* the thread's */
    sqlite3 *db;
    sqlite3_stmt *statements[JOURNAL_N_STATEMENTS];
    struct journal_tally tally;
    int64_t now_ms;    /* Unix time, of the round */
    bool broken;       /* SQLite failed in this round */
    bool failing;      /* the latest round failed */
    bool ailing;       /* the disk refused it: said once */
    bool damaged;      /* so is this */
    atomic_bool takes; /* for journal_takes() */
    uint64_t commits, requests;
    int wal_pages;        /* after the latest commit */
    int checkpoint_pages; /* of the WAL, at which the next checkpoint is due */
    bool prune_failed;
    int64_t prune_mono_ms; /* when to look again for what is to be forgotten; failing: to try */
};

/* ---- journal_db.c ---- */

/* Finds, locks, makes and opens the file. What it has set up journal_db_close() undoes. */
int journal_db_open(struct journal *journal, const char *path, struct err *err) MUST_CHECK;
/* Notes which files the database and its WAL are. */
void journal_db_remember_place(struct journal *journal);
/* 0: they are still what their names lead to. -1: ERR_CONFIG, somebody has removed or replaced one:
 * what is written from then on is gone with this process. */
int journal_db_in_place(struct journal *journal, struct err *err) MUST_CHECK;
/* How it is to be written: once it is known to be a journal. */
int journal_db_set_up(struct journal *journal, struct err *err) MUST_CHECK;
int journal_db_prepare(struct journal *journal, struct err *err) MUST_CHECK;
void journal_db_close(struct journal *journal);

/* What every connection is told before it reads anything. */
int journal_db_harden(sqlite3 *db);
/* Says what the latest failure of db means for the journal at path, and what to do. Returns -1. */
int journal_db_explain(sqlite3 *db, const char *path, struct err *err);

/* Ready to be bound and stepped. */
sqlite3_stmt *journal_db_statement(struct journal *journal, enum journal_statement which);
void journal_db_reset(struct journal *journal); /* all of them */
/* 1: there is a row; 0: the end; -1. */
int journal_db_step(struct journal *journal, sqlite3_stmt *st, struct err *err) MUST_CHECK;
/* Of a statement that gives no rows. */
int journal_db_run(struct journal *journal, sqlite3_stmt *st, struct err *err) MUST_CHECK;
/* What was read makes no sense: the file is damaged. Returns -1. */
int journal_db_nonsense(struct journal *journal, const char *what, struct err *err);

int journal_db_begin(struct journal *journal, struct err *err) MUST_CHECK;
int journal_db_commit(struct journal *journal, struct err *err) MUST_CHECK;
void journal_db_roll_back(struct journal *journal);
/* Moves what is in the WAL into the database; mode: SQLITE_CHECKPOINT_... */
void journal_db_checkpoint(struct journal *journal, int mode);

void journal_bind_text(sqlite3_stmt *st, int index, const char *text); /* borrowed; NULL is NULL */

/* ---- journal_schema.c ---- */

/* 0: an egress journal of a version that this program knows, or an empty file (version 0). */
int journal_schema_check(sqlite3 *db, const char *path, int *version, struct err *err) MUST_CHECK;
/* Makes the tables of an empty one, upgrades an older version's. */
int journal_schema_upgrade(struct journal *journal, int version, struct err *err) MUST_CHECK;

/* ---- journal_moves.c ---- */

/* Looks a job up: 1, with *job (no texts) and its *seq; 0: there is none; -1. */
int journal_find(struct journal *journal, const char *id, struct journal_job *job, int64_t *seq,
                 struct err *err) MUST_CHECK;
/* The first job of a state whose place is in [from_ms, to_ms]. As journal_find(). */
int journal_first(struct journal *journal, enum journal_state state, int64_t from_ms, int64_t to_ms,
                  struct journal_job *job, int64_t *seq, struct err *err) MUST_CHECK;

/* Where a job that is READY stands: by when it expires, or is taken to. */
int64_t journal_ready_place(const struct journal_job *job);

/* The only thing that changes a job's state. update: one of the DO_MOVE... statements, with all
 * but ?1 to ?4 bound. -1: ERR_INTERNAL and nothing was changed, when the move is not a legal one.
 */
int journal_move(struct journal *journal, struct journal_job *job, int64_t seq,
                 enum journal_state to, int64_t place_ms, sqlite3_stmt *update,
                 struct err *err) MUST_CHECK;

int journal_note(struct journal *journal, int64_t seq, enum journal_event event, const char *text,
                 struct err *err) MUST_CHECK;

/* ---- journal_rows.c ---- */

/* Carries out a request that changes something. 1: not all of it yet (it is to come again). */
int journal_carry_out(struct journal *journal, struct journal_request *rq,
                      struct err *err) MUST_CHECK;
/* Nothing of it was committed: takes back what it tells. */
void journal_take_back(struct journal_request *rq);
int journal_recover(struct journal *journal, size_t *recovered, struct err *err) MUST_CHECK;
/* Writes something that nobody reads, to see whether it can. */
int journal_probe(struct journal *journal, struct err *err) MUST_CHECK;
bool journal_is_full(const struct journal *journal);
/* Forgets at most max finished jobs that are too old or too many; *n: how many it were. */
int journal_prune(struct journal *journal, int max, int *n, struct err *err) MUST_CHECK;
/* More of them than is told each round. */
int64_t journal_surplus(const struct journal *journal);

/* ---- journal_read.c ---- */

/* rq->err is where the caller finds a failure. */
void journal_look(struct journal *journal, struct journal_request *rq);
/* Reads JOURNAL_COLUMNS; *job is overwritten; its texts only if asked for. -1: makes no sense. */
int journal_row_read(sqlite3_stmt *st, struct journal_job *job, int64_t *seq,
                     bool texts) MUST_CHECK;

#endif
