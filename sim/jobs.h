/* SPDX-License-Identifier: Apache-2.0
 *
 * jobs: all jobs of the simulator and the clock that moves them.
 *
 * A job's state is worked out from its dates whenever it is looked at, so a million jobs need no
 * timers. Jobs are never freed while the simulator runs; a view is a copy taken under the lock.
 * Any thread, except jobs_new() and the jobs_add_*() of set-up, which come before the others.
 *
 *     struct jobs *jobs = jobs_new(&sw, seed, 1000);
 *     jobs_add_generated(jobs, 1000, KIND_READY, sizes);
 *     if (jobs_get(jobs, id, &view)) ... view.state, view.expired
 *     jobs_free(jobs);
 */
#ifndef EGRESS_SIM_JOBS_H
#define EGRESS_SIM_JOBS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "switches.h"

/* api: an id is [A-Za-z0-9][A-Za-z0-9_-]{0,127} (design.md, promise 9); the Platform's are UUIDs.
 */
enum { JOB_ID_SIZE = 129, UUID_SIZE = 37, JOBS_UPLOADED_MAX = 10000, JOBS_MAX = 1000000 };

enum state { READY, QUEUED, SCHEDULED, RUNNING, COMPLETE, FAILED };
enum failure { FAILURE_NONE, FAILURE_USER, FAILURE_ANALYTIC, FAILURE_PLATFORM };

/* What --generate N:KIND and --state take: the states, and kinds that tests need. */
enum kind {
    KIND_READY,
    KIND_QUEUED,
    KIND_SCHEDULED,
    KIND_RUNNING,
    KIND_COMPLETE,
    KIND_FAILED,
    KIND_FAILING,
    KIND_STUCK,
    KIND_EXPIRED,
    KIND_NO_OUTPUT,
    KIND_ARCHIVED,
    KIND_FOREIGN,
};
/* name and one line of help of each kind; NULL after the last */
const char *kind_name(int kind);
const char *kind_help(int kind);
int kind_parse(const char *s, enum kind *kind); /* 0 or -1 */

const char *state_name(enum state state);
int state_parse(const char *s, enum state *state); /* 0 or -1 */
const char *failure_name(enum failure failure);
int failure_parse(const char *s, enum failure *failure); /* 0 or -1 */

struct size_range {
    uint64_t low, high;
};
/* Size of the output that a job id draws from the range. */
uint64_t size_draw(struct size_range range, const char *id, uint64_t seed);

/* What only some jobs have. All owned by the store; any may be NULL. */
struct job_extra {
    char *name;     /* what the user called it */
    char *path;     /* file that holds the output; NULL: generated */
    char *filename; /* of the output */
    char *request;  /* JSON text of the job request, as uploaded */
};

struct job {
    const char *id;                /* owned by the store */
    const struct job_extra *extra; /* or NULL */
    uint64_t size;                 /* of a generated output */
    int64_t uploaded_ms;           /* dates are Unix time; 0: none */
    int64_t queued_ms;             /* left READY */
    int64_t ended_ms;
    int64_t expires_ms;
    uint8_t state;   /* enum state; where it stays unless ticking */
    uint8_t failure; /* enum failure */
    bool ticking;    /* the clock moves it on from queued_ms */
    bool fails;      /* the clock ends in FAILED */
    bool archived, auto_start, no_output, foreign, deleted;
    bool notified;        /* its webhook was handed out */
    uint16_t n_downloads; /* counted for body_cut_times; stays at its maximum */
    uint16_t version;     /* of the generated output's bytes */
    uint16_t url_serial;  /* signed URLs with a lower one have expired */
};

struct view {
    uint32_t index;
    struct job job; /* a copy; state, ended_ms and failure as of the moment of the copy */
    enum state state;
    bool expired;
};

struct jobs;

struct jobs *jobs_new(const struct switches *sw, uint64_t seed, size_t n_max);
void jobs_free(struct jobs *jobs);

void jobs_add_generated(struct jobs *jobs, size_t n, enum kind kind, struct size_range sizes);
/* DIR/JOB_ID/FILE gives job JOB_ID; DIR/FILE a job whose id follows from the name. */
int jobs_add_directory(struct jobs *jobs, const char *dir, enum kind kind, struct err *err);

/* A new job, as uploaded. expires_ms 0: the default. Takes *extra's strings. 0; -1: no room. */
int jobs_upload(struct jobs *jobs, struct job_extra *extra, bool auto_start, int64_t expires_ms,
                struct size_range sizes, struct view *view);

size_t jobs_count(const struct jobs *jobs); /* deleted ones too: the end of the indexes */
uint64_t jobs_seed(const struct jobs *jobs);
/* False when there is none: unknown or deleted. */
bool jobs_get(struct jobs *jobs, const char *id, struct view *view);
bool jobs_at(struct jobs *jobs, uint32_t index, struct view *view);

enum action { ACT_START, ACT_ARCHIVE, ACT_UNARCHIVE, ACT_KILL, ACT_DELETE };
/* ERR_INPUT: the job's state forbids it. */
int jobs_act(struct jobs *jobs, uint32_t index, enum action action, struct err *err);
/* Exactly one of days and expires_ms is not NULL. */
int jobs_set_ttl(struct jobs *jobs, uint32_t index, const double *days, const int64_t *expires_ms,
                 struct err *err);
/* What an analytic does to its job: any state, at once. */
void jobs_set_state(struct jobs *jobs, uint32_t index, enum state state, enum failure failure);

/* How often the output was asked for before; counts this time. */
unsigned jobs_count_download(struct jobs *jobs, uint32_t index);

/* The output's bytes change; the new version, which is not 0. */
unsigned jobs_change_output(struct jobs *jobs, uint32_t index);
/* All signed URLs that the job has expire. */
void jobs_expire_urls(struct jobs *jobs, uint32_t index);

/* When the job will be COMPLETE by the clock; 0: it is not under way to that. */
int64_t jobs_completion_due(struct jobs *jobs, uint32_t index);
/* True the first time it is asked after the job became COMPLETE. */
bool jobs_take_completion(struct jobs *jobs, uint32_t index);
/* fn(arg, index, due_ms) whenever a job gets such a time. Called without the lock held. */
void jobs_on_due(struct jobs *jobs, void (*fn)(void *arg, uint32_t index, int64_t due_ms),
                 void *arg);

#endif
