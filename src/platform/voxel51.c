/* SPDX-License-Identifier: Apache-2.0
 *
 * voxel51: see voxel51.h. Here: making one, and job details. A describe waits in the queue until
 * `pump` takes it into a lookup (one request); what a batch leaves open goes back into the queue to
 * be asked alone.
 */
#include "platform/voxel51.h"

#include <stdlib.h>
#include <string.h>

#include "core/buf.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/text.h"
#include "net/url.h"
#include "platform/voxel51_parse.h"
#include "platform/voxel51_private.h"

enum {
    BATCH_MAX = 100,
    GETS_MAX = 8,
    DETAILS_MAX_BYTES = 1024 * 1024,
    BATCH_MAX_BYTES = 8 * 1024 * 1024,
    BATCH_BODY_MAX = 64 + BATCH_MAX * (JOB_ID_MAX + 3),
};

struct describe {
    struct describe *next;
    char id[JOB_ID_MAX + 1];
    struct source_job *job; /* borrowed until done */
    source_done_fn *done;
    void *arg;
    bool alone; /* not in a batch: one has left it open */
    bool cancelled;
    struct err err;
};

struct lookup {
    struct voxel51 *v;
    struct lookup *next;
    struct http_call *http;
    struct describe *asked[BATCH_MAX]; /* owned */
    size_t n;
    struct buf body;
};

/* ---- shared ---- */

char *voxel51_job_url(const struct voxel51 *v, const char *id, const char *rest)
{
    struct buf id_text = BUF_INIT(3 * JOB_ID_MAX);
    url_encode(&id_text, id, strlen(id), false);
    char *url = xprintf("%s/jobs/%s%s", v->base_url, buf_str(&id_text), rest);
    buf_release(&id_text);
    return url;
}

struct http_header voxel51_auth_header(const struct voxel51 *v)
{
    return (struct http_header){"Authorization", v->authorization, true};
}

bool voxel51_common_error(const struct http_response *rsp, const struct err *cause,
                          char words[VOXEL51_WORDS_SIZE], bool *envelope, struct err *err)
{
    char message[VOXEL51_MESSAGE_SIZE] = "";
    *envelope = rsp && voxel51_parse_error(rsp->body, rsp->body_len, message);
    snprintf(words, VOXEL51_WORDS_SIZE, "%s%s", *message ? ": " : "", message);
    if (cause->code == ERR_HTTP && cause->http_status == 401) {
        err_set(err, ERR_AUTH,
                "the Platform refused the token (401%s); check which token is used, or create a "
                "new one",
                words);
        err->http_status = 401;
        return true;
    }
    if (cause->code == ERR_HTTP && !err_is_retryable(cause) && cause->http_status >= 400)
        return false;
    *err = *cause;
    if (*words)
        snprintf(err->msg, sizeof(err->msg), "%s%s", cause->msg, words);
    return true;
}

/* ---- the queue ---- */

static void pump_task(void *arg);

static void enqueue(struct voxel51 *v, struct describe *d)
{
    d->next = NULL;
    *v->queue_end = d;
    v->queue_end = &d->next;
}

static struct describe *dequeue(struct voxel51 *v)
{
    struct describe *d = v->queue;
    v->queue = d->next;
    if (!v->queue)
        v->queue_end = &v->queue;
    return d;
}

static void post_pump(struct voxel51 *v)
{
    if (v->posted)
        return;
    v->posted = true;
    loop_post(v->loop, &v->task, pump_task, v);
}

static void describe(struct source *source, const char *job_id, struct source_job *job,
                     source_done_fn *done, void *arg)
{
    struct voxel51 *v = (struct voxel51 *)source;
    struct describe *d = xcalloc(1, sizeof(*d));
    d->job = job;
    d->done = done;
    d->arg = arg;
    /* So that an id cannot reach out of its place in the path. */
    if (job_id_is_valid(job_id)) {
        memcpy(d->id, job_id, strlen(job_id) + 1);
    } else {
        err_set(&d->err, ERR_INPUT,
                "\"%.140s\" is not a job id; expected letters, digits, '-' and '_', at most %d",
                job_id, JOB_ID_MAX);
    }
    enqueue(v, d);
    post_pump(v); /* from the loop, so that all describes of one turn go together */
}

static void set_cancelled(struct describe *d)
{
    d->cancelled = true;
    err_set(&d->err, ERR_CANCELLED, "cancelled");
}

/* The source may be freed by the caller as soon as its last describe is told. */
static void tell(struct describe *d)
{
    d->done(d->arg, d->err.code == ERR_NONE ? NULL : &d->err);
    free(d);
}

/* ---- lookups ---- */

static void pump(struct voxel51 *v);
static void on_get_done(void *arg, const struct http_response *rsp, const struct err *err);
static void on_batch_done(void *arg, const struct http_response *rsp, const struct err *err);

static bool asked_already(const struct lookup *lookup, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (strcmp(lookup->asked[k]->id, lookup->asked[i]->id) == 0)
            return true;
    return false;
}

static void send_batch(struct lookup *lookup)
{
    struct voxel51 *v = lookup->v;
    lookup->body = BUF_INIT(BATCH_BODY_MAX);
    buf_str_append(&lookup->body, "{\"action\":\"details\",\"ids\":[");
    for (size_t i = 0; i < lookup->n; i++)
        if (!asked_already(lookup, i)) /* letters that JSON takes as they are */
            buf_printf(&lookup->body, "%s\"%s\"", i ? "," : "", lookup->asked[i]->id);
    buf_str_append(&lookup->body, "]}");
    CHECK(!buf_overflowed(&lookup->body));
    char *url = xprintf("%s/jobs/batch", v->base_url);
    struct http_header headers[] = {voxel51_auth_header(v),
                                    {"Content-Type", "application/json", false}};
    struct http_request rq = {
        .method = "POST",
        .url = url,
        .headers = headers,
        .n_headers = 2,
        .body = buf_str(&lookup->body),
        .body_len = lookup->body.len,
        .has_body = true,
        .max_body = BATCH_MAX_BYTES,
        .timeout_ms = VOXEL51_ANSWER_MS,
    };
    lookup->http =
        http_start(v->loop, &rq, &(struct http_events){.on_done = on_batch_done}, lookup);
    free(url);
}

static void send_get(struct lookup *lookup)
{
    struct voxel51 *v = lookup->v;
    char *url = voxel51_job_url(v, lookup->asked[0]->id, "");
    struct http_header auth = voxel51_auth_header(v);
    struct http_request rq = {
        .method = "GET",
        .url = url,
        .headers = &auth,
        .n_headers = 1,
        .max_body = DETAILS_MAX_BYTES,
        .timeout_ms = VOXEL51_ANSWER_MS,
        .flags = HTTP_FOLLOW,
    };
    lookup->http = http_start(v->loop, &rq, &(struct http_events){.on_done = on_get_done}, lookup);
    free(url);
}

/* Takes as many as one request can ask for. The queue is not empty. */
static void start_lookup(struct voxel51 *v)
{
    struct lookup *lookup = xcalloc(1, sizeof(*lookup));
    lookup->v = v;
    do
        lookup->asked[lookup->n++] = dequeue(v);
    while (!v->no_batch && !lookup->asked[0]->alone && lookup->n < BATCH_MAX && v->queue &&
           !v->queue->alone);
    v->n_lookups++;
    lookup->next = v->lookups;
    v->lookups = lookup;
    if (lookup->n == 1)
        send_get(lookup);
    else
        send_batch(lookup);
}

/* Takes what needs no request any more out of the queue. */
static struct describe *take_refused(struct voxel51 *v)
{
    struct describe *refused = NULL, *d;
    struct describe **at = &v->queue;
    while ((d = *at)) {
        if (d->err.code == ERR_NONE) {
            at = &d->next;
        } else {
            *at = d->next;
            d->next = refused;
            refused = d;
        }
    }
    v->queue_end = at;
    return refused;
}

static void pump(struct voxel51 *v)
{
    struct describe *refused = take_refused(v), *d;
    while (v->queue && v->n_lookups < (v->no_batch || v->queue->alone ? GETS_MAX : 1))
        start_lookup(v);
    while ((d = refused)) {
        refused = d->next;
        tell(d);
    }
}

static void pump_task(void *arg)
{
    struct voxel51 *v = arg;
    v->posted = false;
    pump(v);
}

/* Sends back to the queue what is still open, starts the next request, then tells the rest. */
static void finish_lookup(struct lookup *lookup, const bool *open)
{
    struct voxel51 *v = lookup->v;
    struct lookup **at = &v->lookups;
    while (*at != lookup)
        at = &(*at)->next;
    *at = lookup->next;
    size_t n = 0;
    for (size_t i = 0; i < lookup->n; i++) {
        if (open && open[i] && lookup->asked[i]->cancelled)
            set_cancelled(lookup->asked[i]);
        if (open && open[i] && !lookup->asked[i]->cancelled) {
            lookup->asked[i]->alone = true;
            enqueue(v, lookup->asked[i]);
        } else {
            lookup->asked[n++] = lookup->asked[i];
        }
    }
    v->n_lookups--;
    if (!v->posted) /* else the task does it */
        pump(v);
    for (size_t i = 0; i < n; i++)
        tell(lookup->asked[i]);
    buf_release(&lookup->body);
    free(lookup);
}

/* A refusal of one job, whether by GET or within a batch. */
static void set_refused(struct err *err, int status, const char *words, bool envelope)
{
    if (status == 403 && !envelope)
        err_set(err, ERR_AUTH,
                "the way to the Platform is refused (403, not in the Platform's words); check the "
                "base URL, the proxy and the token");
    else if (status == 403)
        err_set(err, ERR_JOB_UNKNOWN, "not a job that this token may see (403%s)", words);
    else
        err_set(err, ERR_JOB_UNKNOWN, "the Platform does not know this job (%d%s)%s", status, words,
                envelope ? "" : "; the answer is not in its usual form: is the base URL right?");
    err->http_status = status;
}

/* A 2xx whose body is not what was asked for. */
static void describe_misfit(struct err *err, const struct http_response *rsp)
{
    char type[64];
    const char *value = http_response_header(rsp, "Content-Type");
    snprintf(type, sizeof(type), "%s", value ? value : "no content type");
    text_make_printable(type);
    size_t used = strlen(err->msg);
    snprintf(err->msg + used, sizeof(err->msg) - used, "; got %d, %s, %zu bytes", rsp->status, type,
             rsp->body_len);
    err->http_status = rsp->status;
}

static void on_get_done(void *arg, const struct http_response *rsp, const struct err *err)
{
    struct lookup *lookup = arg;
    struct describe *d = lookup->asked[0];
    char words[VOXEL51_WORDS_SIZE];
    bool envelope;
    if (!err) {
        if (voxel51_parse_job(rsp->body, rsp->body_len, d->id, clock_wall_ms(), d->job, &d->err) <
            0)
            describe_misfit(&d->err, rsp);
    } else if (!voxel51_common_error(rsp, err, words, &envelope, &d->err)) {
        set_refused(&d->err, err->http_status, words, envelope);
    }
    finish_lookup(lookup, NULL);
}

/* What the batch said about one job; true when that must be asked again, alone. */
static bool take_answer(struct describe *d, const struct voxel51_answer *answer)
{
    if (answer->result == VOXEL51_JOB)
        return false;
    /* Whether a code that is no refusal of the job passes by itself, a GET finds out. */
    struct err cause = {.code = ERR_HTTP, .http_status = answer->status};
    if (answer->result == VOXEL51_UNSAID || answer->status == 401 || err_is_retryable(&cause))
        return true;
    char words[VOXEL51_WORDS_SIZE];
    snprintf(words, sizeof(words), "%s%s", *answer->message ? ": " : "", answer->message);
    set_refused(&d->err, answer->status, words, true);
    return false;
}

static void on_batch_done(void *arg, const struct http_response *rsp, const struct err *err)
{
    struct lookup *lookup = arg;
    struct voxel51 *v = lookup->v;
    struct voxel51_answer answers[BATCH_MAX] = {{0}};
    bool open[BATCH_MAX] = {false};
    struct err misfit = {0};
    char words[VOXEL51_WORDS_SIZE];
    bool envelope;
    for (size_t i = 0; i < lookup->n; i++) {
        answers[i].id = lookup->asked[i]->id;
        answers[i].job = lookup->asked[i]->job;
    }
    bool refused = err && err->code == ERR_HTTP && err->http_status != 401 &&
                   (err->http_status == 501 || !err_is_retryable(err));
    if (refused || (!err && voxel51_parse_batch(rsp->body, rsp->body_len, clock_wall_ms(), answers,
                                                lookup->n, &misfit) < 0)) {
        log_info("the Platform does not take details in batches (%d); asking job by job",
                 rsp ? rsp->status : 0);
        v->no_batch = true;
    }
    for (size_t i = 0; i < lookup->n; i++) {
        struct describe *d = lookup->asked[i];
        if (v->no_batch)
            open[i] = true;
        else if (err)
            (void)voxel51_common_error(rsp, err, words, &envelope, &d->err);
        else
            open[i] = take_answer(d, &answers[i]);
    }
    finish_lookup(lookup, open);
}

/* ---- cancelling ---- */

/* A request ends once nobody waits for any of its answers. */
static void cancel_in_lookup(struct lookup *lookup, const struct source_job *job)
{
    size_t waiting = 0;
    bool found = false;
    for (size_t i = 0; i < lookup->n; i++) {
        struct describe *d = lookup->asked[i];
        if (d->job == job)
            found = d->cancelled = true;
        waiting += !d->cancelled;
    }
    if (found && waiting == 0)
        http_cancel(lookup->http);
}

static void describe_cancel(struct source *source, const struct source_job *job)
{
    struct voxel51 *v = (struct voxel51 *)source;
    for (struct describe *d = v->queue; d; d = d->next) {
        if (d->job == job) {
            set_cancelled(d);
            post_pump(v);
        }
    }
    for (struct lookup *lookup = v->lookups; lookup; lookup = lookup->next)
        cancel_in_lookup(lookup, job);
}

/* ---- making one ---- */

static void voxel51_free(struct source *source)
{
    struct voxel51 *v = (struct voxel51 *)source;
    if (!v)
        return;
    CHECK(!v->queue && v->n_lookups == 0 && v->n_streams == 0 && !v->listing &&
          v->n_extensions == 0);
    token_wipe(v->authorization, strlen(v->authorization));
    free(v->authorization);
    free(v->base_url);
    free(v);
}

const char *voxel51_base_url(const struct source *source)
{
    return ((const struct voxel51 *)source)->base_url;
}

int voxel51_set_token(struct source *source, const struct token *token, struct err *err)
{
    struct voxel51 *v = (struct voxel51 *)source;
    if (strcmp(v->base_url, token->base_url) != 0)
        return err_set(err, ERR_CONFIG, "the new token is of %.200s; expected one of %.200s",
                       token->base_url, v->base_url);
    token_wipe(v->authorization, strlen(v->authorization));
    free(v->authorization);
    v->authorization = xprintf("Bearer %s", token->private_key);
    return 0;
}

static const struct source_ops ops = {
    .name = "voxel51",
    .describe = describe,
    .describe_cancel = describe_cancel,
    .open = voxel51_open,
    .resume = voxel51_resume,
    .cancel = voxel51_cancel,
    .list = voxel51_list,
    .list_cancel = voxel51_list_cancel,
    .extend = voxel51_extend,
    .free = voxel51_free,
};

struct source *voxel51_new(struct loop *loop, const struct voxel51_config *config, struct err *err)
{
    struct url base = {0};
    if (url_parse(config->token->base_url, &base, err) < 0) {
        err->code = ERR_CONFIG;
        err_prefix(err, "the Platform's base URL");
        return NULL;
    }
    struct voxel51 *v = xcalloc(1, sizeof(*v));
    v->source.ops = &ops;
    v->loop = loop;
    v->base_url = xstrdup(config->token->base_url);
    v->authorization = xprintf("Bearer %s", config->token->private_key);
    v->route = config->source_route;
    v->base_is_https = strcmp(base.scheme, "https") == 0;
    v->base_is_local = url_is_local(&base);
    v->queue_end = &v->queue;
    url_release(&base);
    return &v->source;
}
