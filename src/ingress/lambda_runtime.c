/* SPDX-License-Identifier: Apache-2.0
 *
 * lambda_runtime: see lambda_runtime.h.
 */
#include "ingress/lambda_runtime.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/buf.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/text.h"
#include "net/http.h"

enum {
    BACKOFF_MIN_MS = 100, /* doubled by each failure in a row */
    BACKOFF_MAX_MS = 2000,
    ANSWER_TIMEOUT_MS = 10 * 1000, /* for one attempt to hand in an answer */
    ANSWER_BODY_MAX = 4096,        /* {"status":"OK"} */
    ERROR_BODY_MAX = 4096,
    /* No function runs for longer than 15 minutes; anything far beyond is no deadline. */
    DEADLINE_FAR_MS = 24 * 60 * 60 * 1000,
};

enum state {
    IDLE,      /* nothing was asked for yet */
    ASKING,    /* for the next invocation */
    RUNNING,   /* it is with the handler */
    ANSWERING, /* its answer is on its way */
    PAUSING,   /* after a failure */
    ENDING,    /* the answer on its way is the last */
    ENDED,
};

struct lambda_runtime {
    struct lambda_runtime_config config;
    enum state state;
    unsigned failures;         /* in a row */
    struct loop_timer backoff; /* PAUSING */
    struct err broken;         /* the invocation on hand could not be read; ERR_NONE: it could */
    struct err end;            /* ENDING: what on_end gets */
    char request_id[RUNTIME_REQUEST_ID_MAX + 1];
    char *function_arn; /* owned, like those below */
    char *payload;      /* of the invocation */
    char *answer;       /* on its way */
};

static char *url_of(const struct lambda_runtime *rt, const char *path)
{
    return xprintf("http://%s/2018-06-01/runtime/%s", rt->config.address, path);
}

static void drop_invocation(struct lambda_runtime *rt)
{
    free(rt->function_arn);
    free(rt->payload);
    rt->function_arn = rt->payload = NULL;
    rt->request_id[0] = '\0';
}

static void finish(struct lambda_runtime *rt, const struct err *err)
{
    rt->state = ENDED;
    rt->config.on_end(rt->config.arg, err);
}

static void backoff_over(void *arg)
{
    lambda_runtime_next(arg);
}

/* One failure more: a pause, or the end. Logs it. */
static void failed(struct lambda_runtime *rt, const struct err *err)
{
    rt->failures++;
    int64_t pause_ms = BACKOFF_MIN_MS;
    for (unsigned i = 1; i < rt->failures && pause_ms < BACKOFF_MAX_MS; i++)
        pause_ms *= 2;
    if (pause_ms > BACKOFF_MAX_MS)
        pause_ms = BACKOFF_MAX_MS;
    drop_invocation(rt);
    if (rt->failures >= RUNTIME_FAILURES_MAX) {
        struct err end = *err;
        err_prefix(&end, "runtime API: %u failures in a row, given up", rt->failures);
        finish(rt, &end);
        return;
    }
    log_event(LOG_ERROR, LOG_FIELDS(LOG_TEXT("error", err_name(err->code))),
              "runtime API: %s; asked again in %lld ms", err->msg, (long long)pause_ms);
    rt->state = PAUSING;
    loop_timer_start(rt->config.loop, &rt->backoff, pause_ms, backoff_over, rt);
}

/* ---- the next invocation ---- */

/* It becomes part of URLs. */
static bool is_request_id(const char *id)
{
    size_t len =
        id ? strspn(id, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_") : 0;
    return len > 0 && len <= RUNTIME_REQUEST_ID_MAX && id[len] == '\0';
}

static int64_t deadline_of(const struct http_response *rsp, const char *request_id)
{
    const char *text = http_response_header(rsp, "Lambda-Runtime-Deadline-Ms");
    int64_t now = clock_wall_ms(), deadline;
    if (text && text_parse_int(text, now, now + DEADLINE_FAR_MS, &deadline) == 0)
        return deadline;
    log_warn("runtime API: invocation %s: %s%.40s; expected a moment ahead in Unix milliseconds: "
             "taken as having no deadline",
             request_id, text ? "its deadline is " : "it has no deadline", text ? text : "");
    return 0;
}

/* What the answer to `next` is about; false when it names no invocation. */
static bool take_invocation(struct lambda_runtime *rt, const struct http_response *rsp)
{
    const char *id = rsp ? http_response_header(rsp, "Lambda-Runtime-Aws-Request-Id") : NULL;
    if (!is_request_id(id) || rsp->status != 200)
        return false;
    memcpy(rt->request_id, id, strlen(id) + 1);
    const char *arn = http_response_header(rsp, "Lambda-Runtime-Invoked-Function-Arn");
    rt->function_arn = xstrdup(arn ? arn : "");
    const char *trace = http_response_header(rsp, "Lambda-Runtime-Trace-Id");
    if (trace)
        setenv(LAMBDA_TRACE_ID, trace, 1);
    else
        unsetenv(LAMBDA_TRACE_ID);
    return true;
}

static void on_next(void *arg, const struct http_response *rsp, const struct err *err)
{
    struct lambda_runtime *rt = arg;
    struct err why = err ? *err : (struct err){0};
    if (!take_invocation(rt, rsp)) {
        if (!err)
            err_set(&why, ERR_PROTOCOL,
                    "GET invocation/next answered %d without an invocation; expected 200 and a "
                    "Lambda-Runtime-Aws-Request-Id",
                    rsp->status);
        failed(rt, &why);
        return;
    }
    rt->state = RUNNING;
    if (err) { /* too long, or cut: it is known whose it was, and they need not wait */
        rt->broken = *err;
        lambda_runtime_fail(rt, "Egress.payload", err);
        return;
    }
    rt->payload = xcalloc(rsp->body_len + 1, 1);
    memcpy(rt->payload, rsp->body, rsp->body_len);
    struct lambda_invocation invocation = {
        .request_id = rt->request_id,
        .function_arn = rt->function_arn,
        .deadline_ms = deadline_of(rsp, rt->request_id),
        .payload = rt->payload,
        .payload_len = rsp->body_len,
    };
    rt->config.on_invocation(rt->config.arg, &invocation);
}

void lambda_runtime_next(struct lambda_runtime *rt)
{
    CHECK(rt->state == IDLE || rt->state == ANSWERING || rt->state == PAUSING);
    char *url = url_of(rt, "invocation/next");
    struct http_request rq = {.method = "GET",
                              .url = url,
                              .max_body = RUNTIME_PAYLOAD_MAX,
                              .flags = HTTP_NO_RETRY | HTTP_NO_PROXY | HTTP_NO_STALL};
    rt->state = ASKING;
    http_start(rt->config.loop, &rq, &(struct http_events){.on_done = on_next}, rt);
    free(url);
}

/* ---- its answer ---- */

static void on_answered(void *arg, const struct http_response *rsp, const struct err *err)
{
    (void)rsp;
    struct lambda_runtime *rt = arg;
    struct err broken = rt->broken;
    rt->broken = (struct err){0};
    free(rt->answer);
    rt->answer = NULL;
    if (rt->state == ENDING) {
        if (err)
            log_error("runtime API: %s", err->msg);
        finish(rt, &rt->end);
    } else if (err || broken.code != ERR_NONE) {
        failed(rt, err ? err : &broken);
    } else {
        rt->failures = 0;
        drop_invocation(rt);
        lambda_runtime_next(rt);
    }
}

/* body: owned from here on. error_type: NULL for a result. */
static void post(struct lambda_runtime *rt, const char *path, const char *error_type, char *body,
                 size_t len)
{
    struct http_header headers[] = {
        {"Content-Type", error_type ? "application/vnd.aws.lambda.error+json" : "application/json",
         false},
        {"Lambda-Runtime-Function-Error-Type", error_type, false},
    };
    char *url = url_of(rt, path);
    struct http_request rq = {.method = "POST",
                              .url = url,
                              .headers = headers,
                              .n_headers = error_type ? 2 : 1,
                              .body = body,
                              .body_len = len,
                              .has_body = true,
                              .max_body = ANSWER_BODY_MAX,
                              .flags = HTTP_NO_PROXY,
                              .timeout_ms = ANSWER_TIMEOUT_MS};
    rt->answer = body;
    http_start(rt->config.loop, &rq, &(struct http_events){.on_done = on_answered}, rt);
    free(url);
}

static void post_error(struct lambda_runtime *rt, const char *path, const char *type,
                       const struct err *err)
{
    struct buf body = BUF_INIT(ERROR_BODY_MAX);
    buf_str_append(&body, "{\"errorMessage\":");
    text_json_quote(&body, err->msg);
    buf_str_append(&body, ",\"errorType\":");
    text_json_quote(&body, type);
    buf_str_append(&body, ",\"stackTrace\":[]}");
    size_t len = body.len;
    post(rt, path, type, buf_take(&body), len);
}

void lambda_runtime_respond(struct lambda_runtime *rt, const char *json, size_t len)
{
    CHECK(rt->state == RUNNING);
    rt->state = ANSWERING;
    char *path = xprintf("invocation/%s/response", rt->request_id);
    char *body = xcalloc(len + 1, 1);
    memcpy(body, json, len);
    post(rt, path, NULL, body, len);
    free(path);
}

void lambda_runtime_fail(struct lambda_runtime *rt, const char *type, const struct err *err)
{
    CHECK(rt->state == RUNNING);
    rt->state = ANSWERING;
    char *path = xprintf("invocation/%s/error", rt->request_id);
    post_error(rt, path, type, err);
    free(path);
}

/* ---- its life ---- */

void lambda_runtime_init_fail(struct lambda_runtime *rt, const char *type, const struct err *err)
{
    CHECK(rt->state == IDLE);
    rt->state = ENDING;
    rt->end = *err;
    post_error(rt, "init/error", type, err);
}

struct lambda_runtime *lambda_runtime_new(const struct lambda_runtime_config *config)
{
    struct lambda_runtime *rt = xcalloc(1, sizeof(*rt));
    rt->config = *config;
    return rt;
}

void lambda_runtime_free(struct lambda_runtime *rt)
{
    if (!rt)
        return;
    CHECK(rt->state == IDLE || rt->state == RUNNING || rt->state == ENDED);
    drop_invocation(rt);
    free(rt);
}
