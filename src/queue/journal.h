/* SPDX-License-Identifier: Apache-2.0
 *
 * journal: the embedded queue: every job that was accepted, where it stands and what became of it,
 * in one SQLite file. The only user of SQLite.
 *
 * One thread owns the database. It takes all requests that have come in since its last round,
 * carries them out in one transaction, commits (WAL, synchronous=FULL), and only then completes
 * them: many webhooks share one commit, and a completion without an error means that it is on disk.
 *
 * STATES (docs/STATES.md; journal_moves.c holds the table of legal moves):
 *   WAITING   until its next try is due
 *   READY     to be claimed; soonest to expire first
 *   RUNNING   claimed by this process; READY again when a journal is opened
 *   STORED    it lies in the destination
 *   FAILED    it will never be stored as things are (failed, expired, unknown, key taken)
 *   DEAD      given up after so many attempts; kept until it is retried or pruned
 *
 * A request is a struct of the caller's that begins with a struct journal_request and stays where
 * it is until done() was called for it: once, on the journal's thread, which it must not hold up.
 * journal_submit(): any thread.
 *
 *     struct journal *journal = journal_open(&config, &err);
 *     struct journal_accept rq = {.request = {JOURNAL_ACCEPT, on_committed}};
 *     snprintf(rq.job, sizeof(rq.job), "%s", event.id);
 *     journal_submit(journal, &rq.request);        on_committed(&rq.request) follows
 *     journal_close(journal);
 */
#ifndef EGRESS_QUEUE_JOURNAL_H
#define EGRESS_QUEUE_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/buf.h"
#include "core/err.h"
#include "core/job_id.h"

/* The numbers are in the file; those of journal_origin too. */
enum journal_state {
    JOURNAL_WAITING,
    JOURNAL_READY,
    JOURNAL_RUNNING,
    JOURNAL_STORED,
    JOURNAL_FAILED,
    JOURNAL_DEAD,
    JOURNAL_STATES
};

/* "waiting", "ready", ...; and back: JOURNAL_STATES for any other text. */
const char *journal_state_name(enum journal_state state);
enum journal_state journal_state_parse(const char *name);

/* ---- requests ---- */

enum journal_kind {
    JOURNAL_ACCEPT,  /* struct journal_accept */
    JOURNAL_CLAIM,   /* struct journal_claim */
    JOURNAL_SETTLE,  /* struct journal_settle */
    JOURNAL_LOOK_UP, /* struct journal_look_up */
    JOURNAL_EXPIRY,  /* struct journal_expiry */
    JOURNAL_STATS,   /* struct journal_stats */
    JOURNAL_LIST,    /* struct journal_list */
    JOURNAL_GET,     /* struct journal_get */
    JOURNAL_RETRY,   /* struct journal_retry */
    JOURNAL_PAUSE,   /* struct journal_pause */
    JOURNAL_KINDS
};

struct journal_request {
    enum journal_kind kind;
    void (*done)(struct journal_request *request); /* the request is the caller's again */
    void *arg;                                     /* the caller's */
    struct err err;               /* ERR_NONE: done and on disk; else nothing of it was done */
    struct journal_request *next; /* the journal's, as what follows */
    bool unfinished;
};

/* A job was named by a webhook or by sync. New: READY. One that FAILED or is DEAD begins anew; for
 * sync, which names it as long as its output is there, only if the Platform had not known it. One
 * that is STORED begins anew if it ended before unstored_ms, so that its receipt was there and is
 * gone; else, or unfinished, it stays as it is. ERR_IO: the disk is full or fails, or
 * config.queue_max jobs are unfinished already; nothing was taken. */
enum journal_accepted { JOURNAL_NEW, JOURNAL_AGAIN, JOURNAL_KNOWN, JOURNAL_STORED_BEFORE };
enum journal_origin { JOURNAL_BY_WEBHOOK, JOURNAL_BY_SYNC };
struct journal_accept {
    struct journal_request request;
    char job[JOB_ID_MAX + 1];
    enum journal_origin origin;
    int64_t expires_ms;             /* Unix time; 0: not known */
    int64_t unstored_ms;            /* Unix time: no receipt is newer, and there is none; or 0 */
    enum journal_accepted accepted; /* out */
};

/* A job as it stands. Times: Unix milliseconds, 0: not known, or not yet. */
enum { JOURNAL_ERROR_MAX = 1024, JOURNAL_OBJECTS_MAX = 16 * 1024 };
struct journal_job {
    char id[JOB_ID_MAX + 1];
    enum journal_state state;
    enum journal_origin origin;
    int64_t received_ms; /* when it was first named, or named anew after its end */
    int64_t expires_ms;
    int64_t next_ms;     /* WAITING: its next try */
    int64_t claimed_ms;  /* of the latest try */
    int64_t ended_ms;    /* STORED, FAILED, DEAD */
    bool tried;          /* JOURNAL_CLAIM: it was claimed before, and that try may have died */
    unsigned attempts;   /* tries that ended in a failure worth another, since received_ms */
    uint64_t bytes;      /* STORED */
    char error_name[32]; /* of the latest failure: err_name(); "" when there is none */
    char *error;         /* owned; its message, or NULL */
    char *objects;       /* owned; STORED: JSON array as it was given to journal_settle, or NULL */
};
void journal_job_release(struct journal_job *job);

/* Takes up to max READY jobs, soonest to expire first, and makes them RUNNING; none while paused.
 * WAITING ones that are due become READY before. */
struct journal_claim {
    struct journal_request request;
    unsigned max;
    struct journal_job *jobs; /* room for max of them; without error and objects */
    unsigned n;               /* out */
    bool paused;              /* out */
    int64_t due_ms;           /* out: when the next of the WAITING ones is due; 0: there is none */
};

/* A RUNNING job's try has ended. By itself it waits some milliseconds for others to be committed
 * with. */
enum journal_verdict {
    JOURNAL_DONE,    /* -> STORED */
    JOURNAL_NEVER,   /* -> FAILED */
    JOURNAL_LATER,   /* -> WAITING for delay_ms, attempts + 1; DEAD once that is attempts_max */
    JOURNAL_RELEASE, /* -> READY, as if it had not been tried: handed over, or told to stop */
};
struct journal_settle {
    struct journal_request request;
    char job[JOB_ID_MAX + 1];
    enum journal_verdict verdict;
    int64_t delay_ms;
    unsigned attempts_max;
    int64_t expires_ms; /* learned by the try; 0: nothing was */
    uint64_t bytes;
    bool already;             /* DONE: it was there before */
    struct err why;           /* NEVER, LATER */
    bool uncounted;           /* LATER: attempts stays as it is, as the job was not to blame */
    char *objects;            /* DONE: borrowed; JSON array of {"key","location","size"}, or NULL */
    enum journal_state state; /* out */
};

/* Unfinished jobs whose expiry was not asked for yet, oldest first. They count as asked from here
 * on; until their expiry is known they are taken to expire JOURNAL_TTL_GUESS_MS after they were
 * received (platform API: "everything expires", 3 days is the default that is stated). */
#define JOURNAL_TTL_GUESS_MS (3 * 24 * 3600 * INT64_C(1000))
struct journal_look_up {
    struct journal_request request;
    unsigned max;
    char (*jobs)[JOB_ID_MAX + 1]; /* room for max of them */
    unsigned n;                   /* out */
};

/* What was found out of those. */
struct journal_expiry {
    struct journal_request request;
    unsigned n;
    const char (*jobs)[JOB_ID_MAX + 1];
    const int64_t *expires_ms; /* 0: not known: the guess stays; -1: ask again later */
};

enum { JOURNAL_NEAR_MAX = 100000 }; /* counting more would keep webhooks waiting */
struct journal_stats {
    struct journal_request request;
    int64_t near_ms; /* in: what "near" means, from now */
    /* out */
    int64_t jobs[JOURNAL_STATES];
    int64_t near_expiry; /* unfinished jobs known to expire within near_ms, or to have expired;
                            counted up to JOURNAL_NEAR_MAX */
    int64_t oldest_ms;   /* received_ms of the oldest unfinished one; 0: there is none */
    int64_t soonest_ms;  /* the soonest known expiry of an unfinished one; 0 */
    bool paused;
    uint64_t file_bytes;        /* database and WAL */
    uint64_t commits, requests; /* since it was opened */
};

/* Jobs a page at a time: RUNNING, latest claimed first; READY and WAITING, as they will be tried;
 * DEAD, FAILED and STORED, latest ended first; of any state: one after the other in this order.
 * With a prefix: by id, and a page may hold less than limit, even nothing, though more follow. */
enum { JOURNAL_PAGE_MAX = 200, JOURNAL_CURSOR_SIZE = JOB_ID_MAX + 1 };
struct journal_list {
    struct journal_request request;
    int state;                       /* enum journal_state, or -1: any */
    char prefix[JOB_ID_MAX + 1];     /* of the id; "": any */
    unsigned limit;                  /* 1 to JOURNAL_PAGE_MAX */
    char after[JOURNAL_CURSOR_SIZE]; /* "": the first page; else .next of the page before */
    struct journal_job *jobs;        /* out: owned by the request until journal_list_release() */
    unsigned n;
    char next[JOURNAL_CURSOR_SIZE]; /* out: "": this was the last */
};
void journal_list_release(struct journal_list *rq);

/* One job and what happened to it, the latest JOURNAL_HISTORY_MAX entries. */
enum { JOURNAL_HISTORY_MAX = 50 };
struct journal_entry {
    int64_t at_ms;
    char what[16]; /* "received", "claimed", "stored", "already stored", "failed", "later", "dead",
                      "released", "recovered", "retried" */
    char *text;    /* owned; an error's message, or NULL */
};
struct journal_get {
    struct journal_request request;
    char job[JOB_ID_MAX + 1];
    bool found; /* out, as what follows; owned until journal_get_release() */
    struct journal_job row;
    struct journal_entry *history; /* oldest first */
    unsigned n_history;
};
void journal_get_release(struct journal_get *rq);

/* FAILED, DEAD and WAITING jobs become READY, with attempts 0. jobs NULL: all that are DEAD, in as
 * many commits as it takes: an error then leaves `retried` of them done. */
struct journal_retry {
    struct journal_request request;
    const char *const *jobs; /* borrowed; n of them */
    size_t n;
    int64_t until_ms; /* the journal's, as what follows */
    size_t before;
    /* out */
    size_t retried;
    size_t unchanged; /* READY, RUNNING or STORED */
    size_t unknown;   /* not in the journal */
};

struct journal_pause { /* is remembered across restarts */
    struct journal_request request;
    bool paused;
};

/* ---- life ---- */

struct journal_config {
    const char *path;  /* borrowed for the call; made when missing, mode 0600 */
    int64_t keep_ms;   /* finished jobs are forgotten after it */
    int64_t keep_jobs; /* and beyond so many, oldest first */
    int64_t queue_max; /* unfinished jobs */
};

struct journal;

/* Starts the thread. NULL: ERR_CONFIG when it is another process's, no journal, of a newer version,
 * or damaged (the message names `egress journal check`); ERR_IO when the disk refuses. An older
 * version's is upgraded. RUNNING jobs are READY again; *recovered (may be NULL) is how many. */
struct journal *journal_open(const struct journal_config *config, size_t *recovered,
                             struct err *err);
/* Completes what was submitted, then closes. No one may submit any more. NULL is fine. */
void journal_close(struct journal *journal);

void journal_submit(struct journal *journal, struct journal_request *request);

/* Whether it takes jobs: not after a round that failed, nor while config.queue_max are unfinished.
 * A journal that fails is tried every second, so that this becomes true again by itself: who looks
 * here before sending may send nothing meanwhile. Any thread. */
bool journal_takes(const struct journal *journal);

/* ---- by hand: `egress journal`; a journal that is in use may be read. Caller's thread. ---- */

/* 0: sound. -1: ERR_CONFIG says what is wrong, *report (a line each) has the details. */
int journal_check(const char *path, struct buf *report, struct err *err) MUST_CHECK;
/* each() for every job that can be read, damaged or not; it returns -1 to end it. -1: what could
 * not be read. */
int journal_export(const char *path, int (*each)(void *arg, const struct journal_job *job),
                   void *arg, struct err *err) MUST_CHECK;

#endif
