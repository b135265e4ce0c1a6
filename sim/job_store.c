/* SPDX-License-Identifier: Apache-2.0
 *
 * Where jobs come from: generated, a directory's files, uploads.
 */
#include "job_store.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "content.h"
#include "core/clock.h"
#include "core/mem.h"

uint64_t size_draw(struct size_range range, const char *id, uint64_t seed)
{
    uint64_t span = range.high - range.low;
    uint64_t drawn = content_mix(content_key(id, seed) + 0x517a3);
    return range.low + (span == UINT64_MAX ? drawn : drawn % (span + 1));
}

/* A version 4 UUID (RFC 9562) from 128 given bits. */
static void format_uuid(uint64_t high, uint64_t low, char out[UUID_SIZE])
{
    high = (high & ~(uint64_t)0xf000) | 0x4000;
    low = (low & ~((uint64_t)3 << 62)) | (uint64_t)2 << 62;
    snprintf(out, UUID_SIZE, "%08x-%04x-%04x-%04x-%012llx", (unsigned)(high >> 32),
             (unsigned)(high >> 16 & 0xffff), (unsigned)(high & 0xffff), (unsigned)(low >> 48),
             (unsigned long long)(low & 0xffffffffffff));
}

struct jobs *jobs_new(const struct switches *sw, uint64_t seed, size_t n_max)
{
    struct jobs *jobs = xcalloc(1, sizeof(*jobs));
    jobs->sw = sw;
    jobs->seed = seed;
    jobs->born_ms = clock_wall_ms();
    jobs->n_max = n_max + JOBS_UPLOADED_MAX;
    pthread_mutex_init(&jobs->lock, NULL);
    jobs->all = xcalloc(jobs->n_max, sizeof(*jobs->all));
    jobs->uuids = xcalloc(jobs->n_max, sizeof(*jobs->uuids));
    jobs->table_size = 1024;
    while (jobs->table_size < jobs->n_max * 2)
        jobs->table_size *= 2;
    jobs->table = xcalloc(jobs->table_size, sizeof(*jobs->table));
    return jobs;
}

static void extra_free(const struct job_extra *extra)
{
    if (!extra)
        return;
    free(extra->name);
    free(extra->path);
    free(extra->filename);
    free(extra->request);
    free((void *)(uintptr_t)extra);
}

void jobs_free(struct jobs *jobs)
{
    if (!jobs)
        return;
    for (size_t i = 0; i < jobs->n; i++) {
        extra_free(jobs->all[i].extra);
        if (jobs->all[i].id != jobs->uuids[i])
            free((void *)(uintptr_t)jobs->all[i].id);
    }
    free(jobs->all);
    free(jobs->uuids);
    free(jobs->table);
    pthread_mutex_destroy(&jobs->lock);
    free(jobs);
}

static size_t slot_of(const struct jobs *jobs, const char *id)
{
    size_t slot = (size_t)content_key(id, 0) & (jobs->table_size - 1);
    while (jobs->table[slot] && strcmp(jobs->all[jobs->table[slot] - 1].id, id) != 0)
        slot = (slot + 1) & (jobs->table_size - 1);
    return slot;
}

int64_t job_store_find(const struct jobs *jobs, const char *id)
{
    return (int64_t)jobs->table[slot_of(jobs, id)] - 1;
}

/* Puts *job at the end. id NULL: a UUID that follows from seed, stream and number. -1: the id is
 * taken, or full. Lock held, or no other thread yet. */
static int append(struct jobs *jobs, struct job *job, uint64_t stream, uint64_t number)
{
    size_t n = jobs->n;
    if (n == jobs->n_max)
        return -1;
    if (!job->id) {
        uint64_t high = content_mix(content_key("id", jobs->seed ^ stream) + number);
        format_uuid(high, content_mix(high ^ 0x6a09e667f3bcc909u), jobs->uuids[n]);
        job->id = jobs->uuids[n];
    }
    size_t slot = slot_of(jobs, job->id);
    if (jobs->table[slot])
        return -1;
    jobs->all[n] = *job;
    jobs->table[slot] = (uint32_t)n + 1;
    atomic_store(&jobs->n, n + 1);
    return 0;
}

/* Dates and flags of a job that is there from the start. Uploads lie a millisecond apart, the first
 * one earliest. */
static void set_kind(const struct jobs *jobs, struct job *job, enum kind kind, int64_t uploaded_ms)
{
    const struct switches *sw = jobs->sw;
    bool run = sw->clock == CLOCK_RUN;
    job->auto_start = sw->auto_start;
    job->expires_ms = jobs->born_ms + sw->job_ttl_ms;
    job->uploaded_ms = uploaded_ms;
    job->notified = true;
    if (kind == KIND_READY || kind == KIND_FAILING) {
        job->state = READY;
        job->fails = kind == KIND_FAILING;
        job->ticking = run && sw->auto_start;
        job->queued_ms = job->ticking ? jobs->born_ms + sw->ready_ms : 0;
        job->notified = false;
        return;
    }
    if (kind == KIND_QUEUED || kind == KIND_SCHEDULED || kind == KIND_RUNNING) {
        job->state = (uint8_t)kind;
        job->queued_ms = jobs->born_ms - (kind >= KIND_SCHEDULED ? sw->queued_ms : 0) -
                         (kind >= KIND_RUNNING ? sw->scheduled_ms : 0);
        job->ticking = run;
        job->notified = false;
        return;
    }
    /* The rest has long happened. */
    enum { RUN_MS = 540000, WAIT_MS = 60000 };
    job->uploaded_ms = uploaded_ms - RUN_MS - WAIT_MS;
    job->queued_ms = job->uploaded_ms + WAIT_MS;
    if (kind == KIND_STUCK) {
        job->state = RUNNING;
        return;
    }
    job->state = kind == KIND_FAILED ? FAILED : COMPLETE;
    job->failure = kind == KIND_FAILED ? FAILURE_ANALYTIC : FAILURE_NONE;
    job->ended_ms = uploaded_ms;
    if (kind == KIND_EXPIRED)
        job->expires_ms = jobs->born_ms;
    job->no_output = kind == KIND_NO_OUTPUT;
    job->archived = kind == KIND_ARCHIVED;
    job->foreign = kind == KIND_FOREIGN;
}

void jobs_add_generated(struct jobs *jobs, size_t n, enum kind kind, struct size_range sizes)
{
    for (size_t i = 0; i < n; i++) {
        struct job job = {0};
        set_kind(jobs, &job, kind, jobs->born_ms - (int64_t)(n - i));
        CHECK(append(jobs, &job, 0, jobs->n) == 0);
        struct job *added = &jobs->all[jobs->n - 1];
        added->size = size_draw(sizes, added->id, jobs->seed);
    }
}

static bool valid_id(const char *s)
{
    size_t n = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-");
    return n > 0 && !s[n] && n < JOB_ID_SIZE && *s != '_' && *s != '-';
}

/* The one file in DIR, or NULL when it is empty (a job without output). */
static int only_file(const char *dir, char **name, struct err *err)
{
    DIR *d = opendir(dir);
    *name = NULL;
    if (!d)
        return err_set_errno(err, ERR_IO, errno, "%s", dir);
    int rc = 0;
    for (struct dirent *e; rc == 0 && (e = readdir(d));) {
        if (e->d_name[0] == '.')
            continue;
        if (*name)
            rc = err_set(err, ERR_INPUT, "%s: more than one file; a job has one output", dir);
        else
            *name = xstrdup(e->d_name);
    }
    closedir(d);
    if (rc < 0) {
        free(*name);
        *name = NULL;
    }
    return rc;
}

static int add_entry(struct jobs *jobs, const char *dir, const char *name, enum kind kind,
                     struct err *err)
{
    struct job_extra *extra = xcalloc(1, sizeof(*extra));
    struct job job = {.extra = extra};
    extra->path = xprintf("%s/%s", dir, name);
    extra->filename = xstrdup(name);
    extra->name = xstrdup(name);
    struct stat st;
    int rc = 0;
    if (stat(extra->path, &st) < 0)
        rc = err_set_errno(err, ERR_IO, errno, "%s", extra->path);
    else if (S_ISDIR(st.st_mode) && !valid_id(name))
        rc = err_set(err, ERR_INPUT, "%s: the folder's name is not a job id", extra->path);
    else if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode))
        rc = err_set(err, ERR_INPUT, "%s: neither a file nor a folder", extra->path);
    else if (S_ISDIR(st.st_mode)) {
        char *folder = extra->path, *file = NULL;
        rc = only_file(folder, &file, err);
        free(extra->filename);
        extra->filename = file;
        extra->path = file ? xprintf("%s/%s", folder, file) : NULL;
        free(folder);
    }
    if (rc == 0) {
        char *id = S_ISDIR(st.st_mode) ? xstrdup(name) : NULL;
        job.id = id;
        set_kind(jobs, &job, kind, jobs->born_ms - 1);
        job.no_output |= !extra->path;
        if (append(jobs, &job, content_key(name, 1), 0) == 0)
            return 0;
        free(id);
        rc = err_set(err, ERR_INPUT, "%s/%s: too many jobs, or the id twice", dir, name);
    }
    extra_free(extra);
    return rc;
}

int jobs_add_directory(struct jobs *jobs, const char *dir, enum kind kind, struct err *err)
{
    struct dirent **entries;
    int n = scandir(dir, &entries, NULL, alphasort);
    if (n < 0)
        return err_set_errno(err, ERR_IO, errno, "--jobs %s", dir);
    int rc = 0;
    for (int i = 0; i < n; i++) {
        if (rc == 0 && entries[i]->d_name[0] != '.')
            rc = add_entry(jobs, dir, entries[i]->d_name, kind, err);
        free(entries[i]);
    }
    free(entries);
    return rc;
}

int jobs_upload(struct jobs *jobs, struct job_extra *extra, bool auto_start, int64_t expires_ms,
                struct size_range sizes, struct view *view)
{
    const struct switches *sw = jobs->sw;
    int64_t now = clock_wall_ms();
    struct job job = {.uploaded_ms = now, .auto_start = auto_start};
    job.expires_ms = expires_ms ? expires_ms : now + sw->job_ttl_ms;
    if (auto_start && sw->clock == CLOCK_RUN) {
        job.ticking = true;
        job.queued_ms = now + sw->ready_ms;
    }
    struct job_extra *kept = xcalloc(1, sizeof(*kept));
    *kept = *extra;
    job.extra = kept;
    pthread_mutex_lock(&jobs->lock);
    size_t n = jobs->n;
    int rc = append(jobs, &job, 1, n);
    if (rc == 0)
        jobs->all[n].size = size_draw(sizes, jobs->all[n].id, jobs->seed);
    pthread_mutex_unlock(&jobs->lock);
    if (rc < 0) {
        extra_free(kept);
        return -1;
    }
    jobs_at(jobs, (uint32_t)n, view);
    int64_t due = jobs_completion_due(jobs, (uint32_t)n);
    if (due && jobs->on_due)
        jobs->on_due(jobs->on_due_arg, (uint32_t)n, due);
    return 0;
}
