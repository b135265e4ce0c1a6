/* SPDX-License-Identifier: Apache-2.0
 *
 * http: see http.h. A call's life: start -> turn (origin.h) -> attempt (-> retry wait -> turn ->
 * attempt)* -> on_done.
 *
 * What a user asks for (start, resume, cancel) may be asked for from within any callback, so it is
 * noted and done from a loop task.
 */
#include "net/http.h"

#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "core/mem.h"
#include "net/http_call.h"

enum {
    REDIRECTS_MAX = 5,
    WHAT_MAX = 160, /* a request as it stands in messages */
};

static void run_wants(void *arg);

void http_call_want(struct http_call *call, unsigned what)
{
    if (call->ending)
        return;
    call->wants |= what;
    if (!call->task_posted) {
        call->task_posted = true;
        loop_post(call->loop, &call->task, run_wants, call);
    }
}

/* ---- an attempt ---- */

static void reset_answer(struct http_call *call)
{
    answer_headers_release(&call->answer_headers);
    buf_release(&call->answer_body);
    call->answer_body = BUF_INIT(call->max_body > ERROR_BODY_MAX ? call->max_body : ERROR_BODY_MAX);
    call->rsp = (struct http_response){.content_length = -1, .body = "", .call = call};
    call->headers_done = false;
    call->paused = false;
    call->curl_error[0] = '\0';
    memset(&call->err, 0, sizeof(call->err));
}

static void set_body(struct http_call *call)
{
    call->rsp.url = call->url;
    call->rsp.body = buf_str(&call->answer_body);
    call->rsp.body_len = call->answer_body.len;
}

/* Tells the end and frees the call. err NULL: success. */
static void finish(struct http_call *call, const struct err *err)
{
    if (call->task_posted) { /* the task comes first: nothing of the call outlives on_done */
        call->err = err ? *err : (struct err){0};
        call->wants |= WANT_END;
        return;
    }
    call->ending = true;
    http1_drop(call);
    turn_end(&call->turn, 0);
    if (call->origin)
        origin_put(loop_origins(call->loop), call->origin);
    set_body(call);
    call->events.on_done(call->arg, call->headers_done ? &call->rsp : NULL, err);
    answer_headers_release(&call->answer_headers);
    buf_release(&call->answer_body);
    for (size_t i = 0; i < call->n_headers; i++) {
        free(call->headers[i].name);
        free(call->headers[i].value);
    }
    url_release(&call->first_url);
    free(call->url);
    free(call->unix_socket);
    free(call);
}

void http_add_header(struct http_call *call, const char *name, const char *value)
{
    /* It would be a header of its own, or the body. */
    if (strpbrk(name, "\r\n") || strpbrk(value, "\r\n"))
        err_set(&call->err, ERR_INPUT, "%s %s: header %s: its value has a line break, refused",
                call->method, call->first_url.host, name);
    else
        http1_add_header(call, name, value);
}

static int begin_attempt(struct http_call *call, struct err *err)
{
    call->proxy = call->flags & HTTP_NO_PROXY || call->unix_socket
                      ? NULL
                      : proxy_by_environment(call->origin->scheme, call->origin->host);
    http1_begin(call);
    for (size_t i = 0; i < call->n_headers; i++)
        if (!call->headers[i].origin_only || !call->cross_origin)
            http_add_header(call, call->headers[i].name, call->headers[i].value);
    if (call->events.prepare && call->events.prepare(call->arg, call, err) < 0)
        return -1;
    *err = call->err; /* of http_add_header() */
    return err->code == ERR_NONE ? 0 : -1;
}

static void start_attempt(struct http_call *call)
{
    struct err err = {0};
    reset_answer(call);
    if (begin_attempt(call, &err) < 0) {
        finish(call, &err);
        return;
    }
    call->retry.attempts++;
    http1_start(call);
}

static void turn_has_come(void *arg)
{
    http_call_want(arg, WANT_ATTEMPT);
}

/* A long poll is no work for who answers it, and others would wait as long for its turn. */
static void take_turn(struct http_call *call)
{
    http1_drop(call);
    if (call->long_poll || turn_take(&call->turn, call->origin, turn_has_come, call))
        start_attempt(call);
}

/* ---- redirects ---- */

static void change_origin(struct http_call *call)
{
    struct origins *origins = loop_origins(call->loop);
    struct url url = {0};
    struct err err = {0};
    CHECK(url_parse(call->url, &url, &err) == 0); /* as redirect_target() did */
    retry_succeeded(&call->origin->budget, &call->retry);
    call->retry.last_cost = 0;
    origin_put(origins, call->origin);
    call->origin = origin_get(origins, &url);
    url_release(&url);
}

/* Sets the call up for the redirect's target, or says why not. */
static int follow(struct http_call *call, struct err *err)
{
    const char *location = http_response_header(&call->rsp, "Location");
    char *target = NULL;
    bool same_origin = false;
    if (!location)
        err_set(err, ERR_PROTOCOL, "answered %d without a Location", call->rsp.status);
    else if (call->redirects >= REDIRECTS_MAX)
        err_set(err, ERR_PROTOCOL, "redirected more than %d times", REDIRECTS_MAX);
    else
        target = redirect_target(call->url, &call->first_url, location, &same_origin, err);
    if (!target) {
        err_prefix(err, "%s %s", call->method, call->first_url.host);
        return -1;
    }
    call->redirects++;
    call->cross_origin |= !same_origin;
    free(call->url);
    call->url = target;
    change_origin(call);
    return 0;
}

/* ---- the end of an attempt ---- */

static void describe(const struct http_call *call, char out[WHAT_MAX])
{
    /* Without the query: a signed URL's secret is there. */
    int len = (int)strcspn(call->url, "?#");
    snprintf(out, WHAT_MAX, "%s %.*s", call->method, len, call->url);
}

/* The body of a refusal says what it is about; half of it does not. Of a server's fault the status
 * is enough, and of more than we read the beginning. */
static bool reason_is_cut(const struct http_call *call)
{
    int status = call->rsp.status;
    size_t len = call->answer_body.len;
    return status >= 400 && status < 500 && status != 429 && len < ERROR_BODY_MAX &&
           call->rsp.content_length > (int64_t)len;
}

/* What the attempt came to; ERR_NONE is a 2xx. */
static struct err judge(struct http_call *call, CURLcode code)
{
    struct err err = call->err;
    if (err.code != ERR_NONE)
        return err;
    char what[WHAT_MAX];
    describe(call, what);
    bool error_status = call->headers_done && !http_call_is_success(call);
    if (error_status && !(code != CURLE_OK && reason_is_cut(call))) {
        const char *after = http_response_header(&call->rsp, "Retry-After");
        err_set(&err, ERR_HTTP, "%s answered %d", what, call->rsp.status);
        set_body(call);
        err.http_status = call->events.read_status ? call->events.read_status(call->arg, &call->rsp)
                                                   : call->rsp.status;
        err.retry_after_ms = after ? retry_after_ms(after) : 0;
    } else if (code != CURLE_OK) {
        net_error_from_curl(&err, code, what, call->curl_error);
    } else if (!call->headers_done) {
        err_set(&err, ERR_NETWORK, "%s: the connection ended within the answer's headers", what);
    }
    return err;
}

static bool may_follow(const struct http_call *call)
{
    return (call->flags & HTTP_FOLLOW) &&
           (strcmp(call->method, "GET") == 0 || strcmp(call->method, "HEAD") == 0);
}

static void retry_due(void *arg)
{
    http_call_want(arg, WANT_RETRY);
}

void http_attempt_done(struct http_call *call, CURLcode code)
{
    struct err err = judge(call, code);
    if (call->unanswered && retry_answered(&err))
        call->unanswered--;
    int told = err.code == ERR_NONE ? call->rsp.status : err.code == ERR_HTTP ? err.http_status : 0;
    call->retry.allowed_for = turn_end(&call->turn, told);
    if (err.code == ERR_HTTP && err.http_status >= 301 && err.http_status <= 308 &&
        err.http_status != 304 && may_follow(call)) {
        memset(&err, 0, sizeof(err));
        if (follow(call, &err) == 0) {
            call->retry.attempts--; /* a step of the way is not a retry */
            take_turn(call);
            return;
        }
    }
    struct retry_budget *budget = &call->origin->budget;
    int64_t delay_ms;
    if (err.code == ERR_NONE) {
        retry_succeeded(budget, &call->retry);
        finish(call, NULL);
    } else if (!call->delivered && !(call->flags & HTTP_NO_RETRY) && call->err.code == ERR_NONE &&
               retry_wanted(budget, &call->retry, &err, http_options()->max_attempts, &delay_ms)) {
        log_debug("%s; again in %lld ms", err.msg, (long long)delay_ms);
        loop_timer_start(call->loop, &call->retry_timer, delay_ms, retry_due, call);
    } else {
        finish(call, &err);
    }
}

/* ---- what users ask for ---- */

static void run_wants(void *arg)
{
    struct http_call *call = arg;
    unsigned wants = call->wants;
    call->wants = 0;
    call->task_posted = false;
    struct err err = call->err;
    if (wants & WANT_CANCEL) {
        err_set(&err, ERR_CANCELLED, "cancelled");
        loop_timer_stop(call->loop, &call->retry_timer);
        finish(call, &err);
    } else if ((wants & WANT_END) || ((wants & WANT_START) && err.code != ERR_NONE)) {
        finish(call, err.code == ERR_NONE ? NULL : &err);
    } else if (wants & (WANT_START | WANT_RETRY)) {
        take_turn(call);
    } else if (wants & WANT_ATTEMPT) {
        start_attempt(call);
    } else if (wants & (WANT_RESUME | WANT_MORE)) {
        if ((wants & WANT_RESUME) && call->paused) {
            call->paused = false;
            turn_resume(&call->turn);
        }
        http1_go_on(call);
    }
}

struct http_call *http_start(struct loop *loop, const struct http_request *rq,
                             const struct http_events *events, void *arg)
{
    CHECK(rq->n_headers <= HTTP_HEADERS_MAX);
    struct http_call *call = xcalloc(1, sizeof(*call));
    call->loop = loop;
    call->events = *events;
    call->arg = arg;
    call->method = rq->method;
    call->url = xstrdup(rq->url);
    call->unix_socket = xstrdup(rq->unix_socket);
    call->body = rq->body;
    call->body_len = rq->body_len;
    call->has_body = rq->has_body || rq->body_len > 0;
    call->max_body = rq->max_body;
    call->flags = rq->flags;
    call->timeout_ms = rq->timeout_ms;
    call->long_poll = rq->stall_timeout_ms > 0 || (rq->flags & HTTP_NO_STALL);
    call->stall_timeout_ms =
        rq->stall_timeout_ms ? rq->stall_timeout_ms : http_options()->stall_timeout_ms;
    for (size_t i = 0; i < rq->n_headers; i++)
        call->headers[call->n_headers++] = (struct header){
            .name = xstrdup(rq->headers[i].name),
            .value = xstrdup(rq->headers[i].value),
            .origin_only = rq->headers[i].origin_only,
        };
    reset_answer(call);
    /* A bad URL is told from the loop, like everything else. */
    if (url_parse(rq->url, &call->first_url, &call->err) == 0)
        call->origin = origin_get(loop_origins(loop), &call->first_url);
    if ((rq->flags & HTTP_PUBLIC_ONLY) && call->origin && url_is_local(&call->first_url))
        err_set(&call->err, ERR_PROTOCOL, "%s %s: leads to a local address, refused", rq->method,
                call->first_url.host);
    http_call_want(call, WANT_START);
    return call;
}

unsigned http_unanswered(const struct http_call *call)
{
    return call->unanswered;
}

void http_resume(struct http_call *call)
{
    http_call_want(call, WANT_RESUME);
}

void http_cancel(struct http_call *call)
{
    http_call_want(call, WANT_CANCEL);
}
