/* SPDX-License-Identifier: Apache-2.0
 *
 * The webhook sender: a heap of moments, the soonest first.
 */
#include "webhook.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "content.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/text.h"
#include "net/http.h"
#include "net/loop.h"

enum { IN_FLIGHT_MAX = 64, BATCH = 256 };

/* At due_ms (Unix time) the job is looked at, or its webhook is sent. */
struct entry {
    int64_t due_ms;
    uint32_t index;
    uint32_t attempt; /* 0: look whether it is COMPLETE */
};

struct sending {
    struct webhooks *webhooks;
    struct http_call *call;
    struct buf body;
    struct entry entry;
    struct sending *next, **at;
};

struct notice { /* from another thread */
    struct loop_task task;
    struct webhooks *webhooks;
    uint32_t index;
    int64_t due_ms;
};

struct webhooks {
    struct sim *sim;
    const char *url, *dir;
    pthread_t thread;
    struct loop_task stop_task;

    pthread_mutex_t lock; /* guards the start of the thread */
    pthread_cond_t started;
    bool ready;
    struct err err; /* why there is no loop */
    struct loop *loop;

    /* the loop's thread only */
    struct loop_timer timer;
    struct entry *heap; /* owned */
    size_t n, size;
    struct sending *sending;
    size_t n_sending;
    bool stopping;
};

/* ---- heap ------------------------------------------------------------------------------------ */

static void push(struct webhooks *w, struct entry entry)
{
    if (w->n == w->size) {
        w->size = w->size ? w->size * 2 : 64;
        w->heap = xrealloc(w->heap, w->size * sizeof(*w->heap));
    }
    size_t i = w->n++;
    for (; i && w->heap[(i - 1) / 2].due_ms > entry.due_ms; i = (i - 1) / 2)
        w->heap[i] = w->heap[(i - 1) / 2];
    w->heap[i] = entry;
}

static struct entry pop(struct webhooks *w)
{
    struct entry top = w->heap[0], last = w->heap[--w->n];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < w->n; i = child) {
        if (child + 1 < w->n && w->heap[child + 1].due_ms < w->heap[child].due_ms)
            child++;
        if (w->heap[child].due_ms >= last.due_ms)
            break;
        w->heap[i] = w->heap[child];
    }
    w->heap[i] = last;
    return top;
}

/* ---- sending --------------------------------------------------------------------------------- */

static void run_due(void *arg);

static void arm(struct webhooks *w)
{
    if (w->n && !w->stopping && w->n_sending < IN_FLIGHT_MAX)
        loop_timer_start(w->loop, &w->timer, w->heap[0].due_ms - clock_wall_ms(), run_due, w);
}

static void write_body(const struct webhooks *w, const struct view *view, struct buf *body)
{
    buf_str_append(body, "{\"id\":");
    text_json_quote(body, view->job.id);
    buf_str_append(body, ",\"event\":");
    text_json_quote(body, w->sim->sw.webhook_event);
    buf_str_append(body, ",\"msg\":\"The job is complete\"}");
}

/* Whole or not at all: what waits for the file may read it at once. */
static void write_file(const struct webhooks *w, const char *id, const struct buf *body)
{
    char *path = xprintf("%s/%s.json", w->dir, id);
    char *temporary = xprintf("%s/.%s.tmp", w->dir, id);
    FILE *f = fopen(temporary, "w");
    bool good = f && fwrite(buf_str(body), 1, body->len, f) == body->len;
    if (f)
        good = fclose(f) == 0 && good;
    if (good && rename(temporary, path) == 0) {
        w->sim->webhooks_sent++;
    } else {
        log_error("%s: %s", path, strerror(errno));
        w->sim->webhooks_failed++;
    }
    free(path);
    free(temporary);
}

static void on_done(void *arg, const struct http_response *rsp, const struct err *err)
{
    (void)rsp;
    struct sending *s = arg;
    struct webhooks *w = s->webhooks;
    if (s->next)
        s->next->at = s->at;
    *s->at = s->next;
    w->n_sending--;
    if (!err) {
        w->sim->webhooks_sent++;
    } else if (!w->stopping) {
        log_warn("webhook: %s", err->msg);
        w->sim->webhooks_failed++;
        if (s->entry.attempt <= (uint64_t)w->sim->sw.webhook_retries)
            push(w, (struct entry){clock_wall_ms() + w->sim->sw.webhook_retry_ms, s->entry.index,
                                   s->entry.attempt + 1});
    }
    buf_release(&s->body);
    free(s);
    if (!w->stopping)
        arm(w);
    else if (w->n_sending == 0)
        loop_stop(w->loop);
}

static void post(struct webhooks *w, struct entry entry, struct buf *body)
{
    static const struct http_header headers[] = {{"Content-Type", "application/json", false}};
    struct sending *s = xcalloc(1, sizeof(*s));
    s->webhooks = w;
    s->entry = entry;
    s->body = *body;
    *body = BUF_INIT(0);
    s->next = w->sending;
    s->at = &w->sending;
    if (s->next)
        s->next->at = &s->next;
    w->sending = s;
    w->n_sending++;
    const struct http_request rq = {
        .method = "POST",
        .url = w->url,
        .headers = headers,
        .n_headers = 1,
        .body = s->body.data,
        .body_len = s->body.len,
        .has_body = true,
        .max_body = 64 * 1024,
        .flags = HTTP_NO_RETRY,
    };
    s->call = http_start(w->loop, &rq, &(struct http_events){.on_done = on_done}, s);
}

/* Looks at the job: its webhook may be due now, or later, or never. */
static void look_at(struct webhooks *w, uint32_t index)
{
    const struct switches *sw = &w->sim->sw;
    int64_t now = clock_wall_ms();
    if (!jobs_take_completion(w->sim->jobs, index)) {
        int64_t due = jobs_completion_due(w->sim->jobs, index);
        if (due)
            push(w, (struct entry){due > now ? due : now + 1, index, 0});
        return;
    }
    uint64_t drawn = content_mix(jobs_seed(w->sim->jobs) + index);
    int64_t jitter = (int64_t)(drawn % ((uint64_t)sw->webhook_jitter_ms + 1));
    int64_t due = now + sw->webhook_delay_ms + jitter;
    uint64_t unused;
    const struct fault *fault = faults_decide(w->sim->faults, FAULT_WEBHOOK, index, &unused);
    if (fault)
        w->sim->n_faults[FAULT_WEBHOOK][fault->kind]++;
    if (fault && fault->kind == FAULT_DROP)
        return;
    if (fault && fault->kind == FAULT_LATENCY)
        due += fault->number;
    for (int64_t i = 0; i < sw->webhook_copies; i++)
        push(w, (struct entry){due, index, 1});
    int64_t times = !fault || fault->kind != FAULT_DUPLICATE ? 1 : fault->number;
    for (int64_t i = 1; i < times; i++)
        push(w, (struct entry){due + i * sw->webhook_retry_ms, index, 1});
}

static void run_due(void *arg)
{
    struct webhooks *w = arg;
    int64_t now = clock_wall_ms();
    for (int i = 0; i < BATCH && w->n && w->heap[0].due_ms <= now; i++) {
        if (w->n_sending == IN_FLIGHT_MAX)
            return;
        struct entry entry = pop(w);
        struct view view;
        if (entry.attempt == 0) {
            look_at(w, entry.index);
        } else if (jobs_at(w->sim->jobs, entry.index, &view)) {
            struct buf body = BUF_INIT(64 * 1024);
            write_body(w, &view, &body);
            if (w->dir && entry.attempt == 1)
                write_file(w, view.job.id, &body);
            if (w->url)
                post(w, entry, &body);
            buf_release(&body);
        }
    }
    arm(w);
}

/* ---- the thread ------------------------------------------------------------------------------ */

static void on_notice(void *arg)
{
    struct notice *notice = arg;
    struct webhooks *w = notice->webhooks;
    push(w, (struct entry){notice->due_ms, notice->index, 0});
    free(notice);
    arm(w);
}

/* Any thread. */
static void tell(void *arg, uint32_t index, int64_t due_ms)
{
    struct notice *notice = xcalloc(1, sizeof(*notice));
    notice->webhooks = arg;
    notice->index = index;
    notice->due_ms = due_ms;
    loop_post(notice->webhooks->loop, &notice->task, on_notice, notice);
}

static void on_stop(void *arg)
{
    struct webhooks *w = arg;
    w->stopping = true;
    loop_timer_stop(w->loop, &w->timer);
    for (struct sending *s = w->sending; s; s = s->next)
        http_cancel(s->call);
    if (!w->sending)
        loop_stop(w->loop);
}

static void *run(void *arg)
{
    struct webhooks *w = arg;
    struct loop *loop = loop_new(&w->err);
    pthread_mutex_lock(&w->lock);
    w->loop = loop;
    w->ready = true;
    pthread_cond_signal(&w->started);
    pthread_mutex_unlock(&w->lock);
    if (!loop)
        return NULL;
    arm(w);
    loop_run(loop);
    loop_free(loop);
    return NULL;
}

static void webhooks_free(struct webhooks *w)
{
    pthread_join(w->thread, NULL);
    pthread_mutex_destroy(&w->lock);
    pthread_cond_destroy(&w->started);
    free(w->heap);
    free(w);
}

struct webhooks *webhooks_start(struct sim *sim, const char *url, const char *dir, struct err *err)
{
    const struct http_options options = {.connect_timeout_ms = 5000,
                                         .stall_timeout_ms = 30000,
                                         .max_attempts = 1,
                                         .user_agent = "egress-sim/" EGRESS_VERSION};
    if (dir && access(dir, W_OK | X_OK) < 0) {
        err_set_errno(err, ERR_USAGE, errno, "--webhook-dir %s", dir);
        return NULL;
    }
    if (http_init(&options, err) < 0)
        return NULL;
    struct webhooks *w = xcalloc(1, sizeof(*w));
    w->sim = sim;
    w->url = url;
    w->dir = dir;
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->started, NULL);
    size_t n_jobs = jobs_count(sim->jobs);
    for (size_t i = 0; i < n_jobs; i++) {
        int64_t due = jobs_completion_due(sim->jobs, (uint32_t)i);
        if (due)
            push(w, (struct entry){due, (uint32_t)i, 0});
    }
    CHECK(pthread_create(&w->thread, NULL, run, w) == 0);
    pthread_mutex_lock(&w->lock);
    while (!w->ready)
        pthread_cond_wait(&w->started, &w->lock);
    pthread_mutex_unlock(&w->lock);
    if (!w->loop) {
        *err = w->err;
        webhooks_free(w);
        return NULL;
    }
    jobs_on_due(sim->jobs, tell, w);
    return w;
}

void webhooks_stop(struct webhooks *w)
{
    if (!w)
        return;
    jobs_on_due(w->sim->jobs, NULL, NULL);
    loop_post(w->loop, &w->stop_task, on_stop, w);
    webhooks_free(w);
}
