/* SPDX-License-Identifier: Apache-2.0
 *
 * The job store, what may be done to a job, and the clock.
 */
#include "jobs.h"

#include <pthread.h>
#include <string.h>

#include "content.h"
#include "core/clock.h"
#include "core/mem.h"
#include "job_store.h"

static const char *const states[] = {"READY",   "QUEUED",   "SCHEDULED",
                                     "RUNNING", "COMPLETE", "FAILED"};
static const char *const failures[] = {"NONE", "USER", "ANALYTIC", "PLATFORM"};

static const struct {
    const char *name, *help;
} kinds[] = {
    {"READY", "uploaded; runs on by the clock"},
    {"QUEUED", "runs on by the clock"},
    {"SCHEDULED", "runs on by the clock"},
    {"RUNNING", "runs on by the clock"},
    {"COMPLETE", "has its output"},
    {"FAILED", "failed, by its analytic"},
    {"FAILING", "READY; runs on to FAILED"},
    {"STUCK", "RUNNING for ever"},
    {"EXPIRED", "COMPLETE, output gone"},
    {"NO_OUTPUT", "COMPLETE without an output"},
    {"ARCHIVED", "COMPLETE and archived"},
    {"FOREIGN", "COMPLETE, but another user's"},
};

static int find_name(const char *const *names, size_t n, const char *s)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(names[i], s) == 0)
            return (int)i;
    return -1;
}

const char *kind_name(int kind)
{
    return (size_t)kind < sizeof(kinds) / sizeof(kinds[0]) ? kinds[kind].name : NULL;
}

const char *kind_help(int kind)
{
    return kinds[kind].help;
}

int kind_parse(const char *s, enum kind *kind)
{
    for (int i = 0; kind_name(i); i++)
        if (strcmp(kind_name(i), s) == 0)
            return *kind = (enum kind)i, 0;
    return -1;
}

const char *state_name(enum state state)
{
    return states[state];
}

int state_parse(const char *s, enum state *state)
{
    int i = find_name(states, 6, s);
    return i < 0 ? -1 : (*state = (enum state)i, 0);
}

const char *failure_name(enum failure failure)
{
    return failures[failure];
}

int failure_parse(const char *s, enum failure *failure)
{
    int i = find_name(failures, 4, s);
    return i < 0 ? -1 : (*failure = (enum failure)i, 0);
}

/* ---- the clock ------------------------------------------------------------------------------- */

static int64_t end_of_run(const struct jobs *jobs, const struct job *job)
{
    const struct switches *sw = jobs->sw;
    return job->queued_ms + sw->queued_ms + sw->scheduled_ms + sw->running_ms;
}

/* Brings the job up to date. */
static void tick(const struct jobs *jobs, struct job *job, int64_t now)
{
    const struct switches *sw = jobs->sw;
    if (!job->ticking || now < job->queued_ms)
        return;
    int64_t left = end_of_run(jobs, job) - now;
    if (left > sw->running_ms + sw->scheduled_ms) {
        job->state = QUEUED;
    } else if (left > sw->running_ms) {
        job->state = SCHEDULED;
    } else if (left > 0) {
        job->state = RUNNING;
    } else {
        job->state = job->fails ? FAILED : COMPLETE;
        job->failure = job->fails ? FAILURE_ANALYTIC : FAILURE_NONE;
        job->ended_ms = end_of_run(jobs, job);
        job->ticking = false;
    }
}

static void look(struct jobs *jobs, uint32_t index, struct view *view)
{
    struct job *job = &jobs->all[index];
    int64_t now = clock_wall_ms();
    tick(jobs, job, now);
    *view = (struct view){index, *job, (enum state)job->state, now >= job->expires_ms};
    if (job->ticking && now < job->queued_ms)
        view->job.queued_ms = 0;
}

static void tell_due(struct jobs *jobs, uint32_t index)
{
    int64_t due = jobs_completion_due(jobs, index);
    if (due && jobs->on_due)
        jobs->on_due(jobs->on_due_arg, index, due);
}

/* ---- looking --------------------------------------------------------------------------------- */

size_t jobs_count(const struct jobs *jobs)
{
    return atomic_load(&jobs->n);
}

uint64_t jobs_seed(const struct jobs *jobs)
{
    return jobs->seed;
}

bool jobs_at(struct jobs *jobs, uint32_t index, struct view *view)
{
    pthread_mutex_lock(&jobs->lock);
    look(jobs, index, view);
    pthread_mutex_unlock(&jobs->lock);
    return !view->job.deleted;
}

bool jobs_get(struct jobs *jobs, const char *id, struct view *view)
{
    pthread_mutex_lock(&jobs->lock);
    int64_t index = job_store_find(jobs, id);
    if (index >= 0)
        look(jobs, (uint32_t)index, view);
    pthread_mutex_unlock(&jobs->lock);
    return index >= 0 && !view->job.deleted;
}

/* ---- acting ---------------------------------------------------------------------------------- */

static int act_locked(struct job *job, enum action action, int64_t now, struct err *err)
{
    switch (action) {
    case ACT_START:
        if (job->state != READY)
            return err_set(err, ERR_INPUT, "The job is %s; only a READY job can be started",
                           states[job->state]);
        job->queued_ms = now;
        job->ticking = true;
        break;
    case ACT_ARCHIVE:
    case ACT_UNARCHIVE:
        job->archived = action == ACT_ARCHIVE;
        break;
    case ACT_KILL:
        if (job->state != QUEUED && job->state != SCHEDULED)
            return err_set(err, ERR_INPUT,
                           "The job is %s; only a QUEUED or SCHEDULED job can be killed",
                           states[job->state]);
        job->state = FAILED;
        job->failure = FAILURE_USER;
        job->ended_ms = now;
        job->ticking = false;
        break;
    case ACT_DELETE:
        if (job->state != READY)
            return err_set(err, ERR_INPUT, "The job is %s; only a READY job can be deleted",
                           states[job->state]);
        job->deleted = true;
        break;
    }
    return 0;
}

int jobs_act(struct jobs *jobs, uint32_t index, enum action action, struct err *err)
{
    int64_t now = clock_wall_ms();
    pthread_mutex_lock(&jobs->lock);
    struct job *job = &jobs->all[index];
    tick(jobs, job, now);
    int rc = act_locked(job, action, now, err);
    if (jobs->sw->clock == CLOCK_STOP && job->ticking) {
        job->state = QUEUED;
        job->ticking = false;
    }
    pthread_mutex_unlock(&jobs->lock);
    if (rc == 0 && action == ACT_START)
        tell_due(jobs, index);
    return rc;
}

int jobs_set_ttl(struct jobs *jobs, uint32_t index, const double *days, const int64_t *expires_ms,
                 struct err *err)
{
    int rc = 0;
    int64_t now = clock_wall_ms(), max = jobs->sw->ttl_max_ms;
    pthread_mutex_lock(&jobs->lock);
    struct job *job = &jobs->all[index];
    int64_t until = expires_ms ? *expires_ms : job->expires_ms + (int64_t)(*days * 86400e3);
    if (now >= job->expires_ms)
        rc = err_set(err, ERR_INPUT, "The job's output has expired; its TTL cannot be changed");
    else if (until <= job->expires_ms || max == 0 || until <= now + max)
        job->expires_ms = until;
    pthread_mutex_unlock(&jobs->lock);
    return rc;
}

void jobs_set_state(struct jobs *jobs, uint32_t index, enum state state, enum failure failure)
{
    int64_t now = clock_wall_ms();
    pthread_mutex_lock(&jobs->lock);
    struct job *job = &jobs->all[index];
    tick(jobs, job, now);
    if (job->state != COMPLETE)
        job->notified = false;
    job->state = (uint8_t)state;
    job->ticking = false;
    job->failure = (uint8_t)failure;
    job->ended_ms = state >= COMPLETE ? now : 0;
    if (state == READY)
        job->queued_ms = 0;
    else if (!job->queued_ms || job->queued_ms > now)
        job->queued_ms = now;
    pthread_mutex_unlock(&jobs->lock);
    tell_due(jobs, index);
}

unsigned jobs_count_download(struct jobs *jobs, uint32_t index)
{
    pthread_mutex_lock(&jobs->lock);
    struct job *job = &jobs->all[index];
    unsigned before = job->n_downloads;
    if (job->n_downloads < UINT16_MAX)
        job->n_downloads++;
    pthread_mutex_unlock(&jobs->lock);
    return before;
}

unsigned jobs_change_output(struct jobs *jobs, uint32_t index)
{
    pthread_mutex_lock(&jobs->lock);
    struct job *job = &jobs->all[index];
    if (job->version < UINT16_MAX)
        job->version++;
    unsigned version = job->version;
    pthread_mutex_unlock(&jobs->lock);
    return version;
}

void jobs_expire_urls(struct jobs *jobs, uint32_t index)
{
    pthread_mutex_lock(&jobs->lock);
    struct job *job = &jobs->all[index];
    if (job->url_serial < UINT16_MAX)
        job->url_serial++;
    pthread_mutex_unlock(&jobs->lock);
}

/* ---- completion ------------------------------------------------------------------------------ */

int64_t jobs_completion_due(struct jobs *jobs, uint32_t index)
{
    int64_t due = 0;
    pthread_mutex_lock(&jobs->lock);
    const struct job *job = &jobs->all[index];
    if (job->ticking && !job->fails)
        due = end_of_run(jobs, job);
    else if (!job->ticking && job->state == COMPLETE && !job->notified)
        due = job->ended_ms;
    pthread_mutex_unlock(&jobs->lock);
    return due;
}

bool jobs_take_completion(struct jobs *jobs, uint32_t index)
{
    pthread_mutex_lock(&jobs->lock);
    struct job *job = &jobs->all[index];
    tick(jobs, job, clock_wall_ms());
    bool take = job->state == COMPLETE && !job->notified && !job->deleted;
    if (take)
        job->notified = true;
    pthread_mutex_unlock(&jobs->lock);
    return take;
}

void jobs_on_due(struct jobs *jobs, void (*fn)(void *arg, uint32_t index, int64_t due_ms),
                 void *arg)
{
    jobs->on_due = fn;
    jobs->on_due_arg = arg;
}
