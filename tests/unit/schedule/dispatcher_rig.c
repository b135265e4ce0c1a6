/* SPDX-License-Identifier: Apache-2.0
 *
 * dispatcher_rig: see dispatcher_rig.h.
 */
#include "tests/unit/schedule/dispatcher_rig.h"

#include <fcntl.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"

enum { LOOK_MS = 2, TOO_LONG_MS = 60 * 1000 };

/* A pipe: it has to work when the disk does not, and other threads log too. */
static FILE *log_in;
static int log_out;
static struct buf log_text = {.cap = 16 << 20};

int rig_group(void **state)
{
    (void)state;
    int ends[2];
    CHECK(pipe(ends) == 0);
    log_out = ends[0];
    log_in = fdopen(ends[1], "w");
    CHECK(log_in && fcntl(log_out, F_SETFL, O_NONBLOCK) == 0);
    log_init(log_in, LOG_INFO, LOG_JSON);
    return 0;
}

static void read_log(void)
{
    char chunk[4096];
    ssize_t n;
    while ((n = read(log_out, chunk, sizeof(chunk))) > 0)
        CHECK(buf_append(&log_text, chunk, (size_t)n) == 0);
}

/* ---- life ---- */

void rig_init(struct rig *r)
{
    *r = (struct rig){
        .from = {.size = 5000,
                 .tells_size = true,
                 .ranges = true,
                 .validator = "\"e1\"",
                 .cut_at = -1,
                 .state = JOB_COMPLETE},
        .to = {.keeps_identity = true, .keeps_uploads = true, .part_min = 5 << 20},
        .key_template = "{job_id}",
        .config = {.concurrency = 4,
                   .backoff_min_ms = 20,
                   .backoff_max_ms = 100,
                   .unknown_delay_ms = 30,
                   .drain_ms = 10000},
    };
    snprintf(r->dir, sizeof(r->dir), "/tmp/egress-dispatcher.XXXXXX");
    CHECK(mkdtemp(r->dir));
    snprintf(r->path, sizeof(r->path), "%s/journal", r->dir);
    read_log();
    buf_clear(&log_text);
}

static size_t open_journal(struct rig *r)
{
    struct err err = {0};
    size_t recovered = 0;
    const struct journal_config config = {
        .path = r->path, .keep_ms = INT64_C(1) << 40, .keep_jobs = 1 << 20, .queue_max = 1 << 20};
    r->journal = journal_open(&config, &recovered, &err);
    if (!r->journal)
        fprintf(stderr, "%s\n", err.msg);
    CHECK(r->journal);
    return recovered;
}

void rig_open(struct rig *r)
{
    struct err err = {0};
    r->loop = loop_new(&err);
    r->source = fake_source_new(r->loop, &r->from, 1);
    r->sink = fake_sink_new(r->loop, &r->to, 2);
    open_journal(r);
}

static void on_end(void *arg, const struct err *err)
{
    struct rig *r = arg;
    r->ends++;
    if (err)
        r->err = *err;
}

void rig_start(struct rig *r)
{
    if (!r->loop)
        rig_open(r);
    fake_source_configure(r->source, &r->from);
    fake_sink_configure(r->sink, &r->to);
    struct engine_config engine = {.loop = r->loop,
                                   .source = fake_source_base(r->source),
                                   .sink = fake_sink_base(r->sink),
                                   .key_template = r->key_template,
                                   .program = "egress test",
                                   .memory = 32 << 20,
                                   .concurrency = r->config.concurrency,
                                   .receipts = !r->no_receipts};
    r->engine = engine_new(&engine);
    r->config.loop = r->loop;
    r->config.engine = r->engine;
    r->config.source = engine.source;
    r->config.sink = engine.sink;
    r->config.receipts = engine.receipts;
    r->config.journal = r->journal;
    r->config.on_end = on_end;
    r->config.arg = r;
    r->ends = 0;
    r->err = (struct err){0};
    r->dispatcher = dispatcher_start(&r->config);
}

void rig_end(struct rig *r)
{
    dispatcher_drain(r->dispatcher);
    rig_run(r, rig_ended);
    rig_run_ms(r, 5);
    CHECK(r->ends == 1);
    dispatcher_free(r->dispatcher);
    engine_free(r->engine);
    r->dispatcher = NULL;
}

static void remove_journal(const struct rig *r)
{
    static const char *const ends[] = {"", "-wal", "-shm", ".lock"};
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        char *path = xprintf("%s%s", r->path, ends[i]);
        (void)unlink(path);
        free(path);
    }
}

size_t rig_reopen(struct rig *r)
{
    journal_close(r->journal);
    return open_journal(r);
}

void rig_forget(struct rig *r)
{
    journal_close(r->journal);
    remove_journal(r);
    open_journal(r);
}

void rig_free(struct rig *r)
{
    journal_close(r->journal);
    fake_source_free(r->source);
    fake_sink_free(r->sink);
    loop_free(r->loop);
    remove_journal(r);
    CHECK(rmdir(r->dir) == 0);
}

/* ---- running ---- */

static void look(void *arg)
{
    struct rig *r = arg;
    CHECK(clock_mono_ms() < r->give_up_ms);
    read_log();
    if (r->until(r))
        loop_stop(r->loop);
    else
        loop_timer_start(r->loop, &r->timer, LOOK_MS, look, r);
}

void rig_run(struct rig *r, bool (*until)(struct rig *r))
{
    r->until = until;
    r->give_up_ms = clock_mono_ms() + TOO_LONG_MS;
    loop_timer_start(r->loop, &r->timer, 0, look, r);
    loop_run(r->loop);
}

static void stop(void *arg)
{
    loop_stop(arg);
}

void rig_run_ms(struct rig *r, int64_t ms)
{
    struct loop_timer timer = {0};
    loop_timer_start(r->loop, &timer, ms, stop, r->loop);
    loop_run(r->loop);
}

bool rig_ended(struct rig *r)
{
    return r->ends > 0;
}

bool rig_none_under_way(struct rig *r)
{
    return rig_counts(r).running == 0 && rig_jobs(r, JOURNAL_READY) == 0 &&
           rig_jobs(r, JOURNAL_WAITING) == 0 && rig_jobs(r, JOURNAL_RUNNING) == 0;
}

struct dispatcher_counts rig_counts(const struct rig *r)
{
    struct dispatcher_counts counts;
    dispatcher_counts(r->dispatcher, &counts);
    return counts;
}

/* ---- the journal ---- */

static void on_done(struct journal_request *request)
{
    sem_post(request->arg);
}

void rig_ask(struct rig *r, struct journal_request *request)
{
    sem_t done;
    CHECK(sem_init(&done, 0, 0) == 0);
    request->done = on_done;
    request->arg = &done; /* cppcheck-suppress autoVariables ; waited for */
    journal_submit(r->journal, request);
    CHECK(sem_wait(&done) == 0);
    sem_destroy(&done);
}

enum journal_accepted rig_accept(struct rig *r, const char *id, int64_t expires_ms)
{
    struct journal_accept rq = {.request.kind = JOURNAL_ACCEPT, .expires_ms = expires_ms};
    snprintf(rq.job, sizeof(rq.job), "%s", id);
    rig_ask(r, &rq.request);
    CHECK(rq.request.err.code == ERR_NONE);
    return rq.accepted;
}

void rig_accept_all(struct rig *r, const struct source_job *jobs, unsigned n)
{
    struct journal_accept *rqs = xcalloc(n, sizeof(rqs[0]));
    sem_t done;
    CHECK(sem_init(&done, 0, 0) == 0);
    for (unsigned i = 0; i < n; i++) {
        rqs[i].request =
            (struct journal_request){.kind = JOURNAL_ACCEPT, .done = on_done, .arg = &done};
        rqs[i].expires_ms = jobs[i].expires_ms;
        memcpy(rqs[i].job, jobs[i].id, sizeof(rqs[i].job));
        journal_submit(r->journal, &rqs[i].request);
    }
    for (unsigned i = 0; i < n; i++)
        CHECK(sem_wait(&done) == 0);
    for (unsigned i = 0; i < n; i++)
        CHECK(rqs[i].request.err.code == ERR_NONE && rqs[i].accepted == JOURNAL_NEW);
    sem_destroy(&done);
    free(rqs);
}

void rig_accept_many(struct rig *r, unsigned n)
{
    struct source_job *jobs = xcalloc(n, sizeof(jobs[0]));
    for (unsigned i = 0; i < n; i++)
        snprintf(jobs[i].id, sizeof(jobs[i].id), "job-%03u", i);
    rig_accept_all(r, jobs, n);
    free(jobs);
}

void rig_pause(struct rig *r, bool paused)
{
    struct journal_pause rq = {.request.kind = JOURNAL_PAUSE, .paused = paused};
    rig_ask(r, &rq.request);
    CHECK(rq.request.err.code == ERR_NONE);
}

void rig_get(struct rig *r, const char *id, struct journal_get *get)
{
    *get = (struct journal_get){.request.kind = JOURNAL_GET};
    snprintf(get->job, sizeof(get->job), "%s", id);
    rig_ask(r, &get->request);
    CHECK(get->request.err.code == ERR_NONE && get->found);
}

enum journal_state rig_state(struct rig *r, const char *id)
{
    struct journal_get get;
    rig_get(r, id, &get);
    enum journal_state state = get.row.state;
    journal_get_release(&get);
    return state;
}

int64_t rig_jobs(struct rig *r, enum journal_state state)
{
    struct journal_stats rq = {.request.kind = JOURNAL_STATS};
    rig_ask(r, &rq.request);
    CHECK(rq.request.err.code == ERR_NONE);
    return rq.jobs[state];
}

/* ---- the disk ---- */

static struct rlimit limit_before;

void rig_fill_disk(void)
{
    CHECK(signal(SIGXFSZ, SIG_IGN) != SIG_ERR && getrlimit(RLIMIT_FSIZE, &limit_before) == 0);
    struct rlimit limit = limit_before;
    limit.rlim_cur = 1;
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

void rig_free_disk(void)
{
    CHECK(setrlimit(RLIMIT_FSIZE, &limit_before) == 0);
}

/* ---- the log ---- */

const char *rig_log(void)
{
    read_log();
    return buf_str(&log_text);
}

unsigned rig_logged(const char *text)
{
    unsigned n = 0;
    for (const char *at = rig_log(); (at = strstr(at, text)); at += strlen(text))
        n++;
    return n;
}
