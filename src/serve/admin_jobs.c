/* SPDX-License-Identifier: Apache-2.0
 *
 * admin_jobs: what the admin routes ask of the journal, and what they have it do.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "core/mem.h"
#include "core/text.h"
#include "serve/serve_private.h"

enum { PAGE_STANDARD = 50, RETRY_MAX = 10000, ANSWER_MAX = 16 * 1024 * 1024 };

static void submit(struct admin_call *call, struct journal_request *request, enum journal_kind kind,
                   void (*done)(struct journal_request *request))
{
    request->kind = kind;
    request->done = done;
    request->arg = call;
    journal_submit(call->serve->journal, request);
}

static int status_of(const struct err *err)
{
    return err->code == ERR_INPUT ? 400 : 503;
}

/* ---- lists ---- */

static void on_listed(struct journal_request *request)
{
    struct admin_call *call = request->arg;
    struct buf body = BUF_INIT(ANSWER_MAX);
    if (request->err.code != ERR_NONE) {
        admin_end_error(call, status_of(&request->err), &request->err);
        return;
    }
    status_format_list(&call->list, &body);
    journal_list_release(&call->list);
    admin_end(call, 200, &body);
}

/* A parameter that is copied into `out`; -1: it does not fit. */
static int copy_query(const struct httpd_request *rq, const char *name, char *out, size_t size,
                      struct err *err)
{
    const char *value = httpd_query(rq, name);
    if (!value)
        return 0;
    if (strlen(value) >= size)
        return err_set(err, ERR_INPUT, "%s: longer than %zu bytes", name, size - 1);
    memcpy(out, value, strlen(value) + 1);
    return 0;
}

static int read_query(const struct httpd_request *rq, struct journal_list *list, struct err *err)
{
    const char *state = httpd_query(rq, "state"), *limit = httpd_query(rq, "limit");
    int64_t n = PAGE_STANDARD;
    list->state = -1;
    if (state && *state) {
        enum journal_state known = journal_state_parse(state);
        if (known == JOURNAL_STATES)
            return err_set(err, ERR_INPUT,
                           "state %.32s: expected waiting, ready, running, stored, failed or dead",
                           state);
        list->state = (int)known;
    }
    if (limit && text_parse_int(limit, 1, JOURNAL_PAGE_MAX, &n) < 0)
        return err_set(err, ERR_INPUT, "limit %.32s: expected 1 to %d", limit, JOURNAL_PAGE_MAX);
    list->limit = (unsigned)n;
    if (copy_query(rq, "prefix", list->prefix, sizeof(list->prefix), err) < 0 ||
        copy_query(rq, "after", list->after, sizeof(list->after), err) < 0)
        return -1;
    return 0;
}

void admin_list(struct admin_call *call)
{
    struct err err = {0};
    if (read_query(call->rq, &call->list, &err) < 0)
        admin_end_error(call, 400, &err);
    else
        submit(call, &call->list.request, JOURNAL_LIST, on_listed);
}

/* ---- one job ---- */

static void on_got(struct journal_request *request)
{
    struct admin_call *call = request->arg;
    struct buf body = BUF_INIT(ANSWER_MAX);
    struct err err = request->err;
    if (err.code != ERR_NONE) {
        admin_end_error(call, status_of(&err), &err);
    } else if (!call->get.found) {
        err_set(&err, ERR_JOB_UNKNOWN, "job %s is not in the journal", call->get.job);
        admin_end_error(call, 404, &err);
    } else {
        status_format_history(&call->get, &body);
        journal_get_release(&call->get);
        admin_end(call, 200, &body);
    }
}

void admin_get(struct admin_call *call, const char *job)
{
    struct err err = {0};
    if (!job_id_is_valid(job)) {
        err_set(&err, ERR_INPUT, "%.64s: no job id", job);
        admin_end_error(call, 400, &err);
        return;
    }
    memcpy(call->get.job, job, strlen(job) + 1);
    submit(call, &call->get.request, JOURNAL_GET, on_got);
}

/* ---- retry ---- */

static void free_ids(struct admin_call *call)
{
    for (size_t i = 0; i < call->retry.n; i++)
        free(call->ids[i]);
    free(call->ids);
}

static void on_retried(struct journal_request *request)
{
    struct admin_call *call = request->arg;
    struct buf body = BUF_INIT(1024);
    free_ids(call);
    if (request->err.code != ERR_NONE) {
        admin_end_error(call, status_of(&request->err), &request->err);
        return;
    }
    dispatcher_wake(call->serve->dispatcher);
    buf_printf(&body, "{\"retried\":%zu,\"unchanged\":%zu,\"unknown\":%zu}", call->retry.retried,
               call->retry.unchanged, call->retry.unknown);
    admin_end(call, 200, &body);
}

#define RETRY_EXPECTED "expected {\"jobs\":[JOB_ID,...]} or {\"dead\":true}"

static int take_ids(struct admin_call *call, const json_t *jobs, struct err *err)
{
    size_t n = json_array_size(jobs);
    if (n == 0 || n > RETRY_MAX)
        return err_set(err, ERR_INPUT, "%zu jobs; expected 1 to %d", n, RETRY_MAX);
    call->ids = xcalloc(n, sizeof(call->ids[0]));
    for (size_t i = 0; i < n; i++) {
        const char *id = json_string_value(json_array_get(jobs, i));
        if (!id || !job_id_is_valid(id))
            return err_set(err, ERR_INPUT, "jobs[%zu] is no job id", i);
        call->ids[i] = xstrdup(id);
        call->retry.n++;
    }
    call->retry.jobs = (const char *const *)call->ids;
    return 0;
}

static int read_retry(struct admin_call *call, struct err *err)
{
    size_t len;
    const char *text = httpd_body(call->rq, &len);
    json_error_t why;
    json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &why);
    if (!root)
        return json_refused(err, "the body", &why);
    const json_t *jobs = json_object_get(root, "jobs");
    int rc = 0;
    if (json_is_array(jobs))
        rc = take_ids(call, jobs, err);
    else if (!json_is_true(json_object_get(root, "dead")))
        rc = err_set(err, ERR_INPUT, RETRY_EXPECTED);
    json_decref(root);
    return rc;
}

void admin_retry(struct admin_call *call)
{
    struct err err = {0};
    if (read_retry(call, &err) < 0) {
        free_ids(call);
        admin_end_error(call, 400, &err);
        return;
    }
    submit(call, &call->retry.request, JOURNAL_RETRY, on_retried);
}

/* ---- pause ---- */

static void on_paused(struct journal_request *request)
{
    struct admin_call *call = request->arg;
    struct buf body = BUF_INIT(256);
    if (request->err.code != ERR_NONE) {
        admin_end_error(call, status_of(&request->err), &request->err);
        return;
    }
    dispatcher_wake(call->serve->dispatcher);
    buf_printf(&body, "{\"paused\":%s}", call->pause.paused ? "true" : "false");
    admin_end(call, 200, &body);
}

void admin_pause(struct admin_call *call, bool paused)
{
    call->pause.paused = paused;
    submit(call, &call->pause.request, JOURNAL_PAUSE, on_paused);
}

/* ---- sync: the loop's ---- */

static void start_sync(void *arg)
{
    struct admin_call *call = arg;
    struct buf body = BUF_INIT(256);
    bool started = dispatcher_sync(call->serve->dispatcher);
    buf_printf(&body, "{\"started\":%s}", started ? "true" : "false");
    admin_end(call, 200, &body);
}

void admin_sync(struct admin_call *call)
{
    loop_post(call->serve->assembly.loop, &call->task, start_sync, call);
}
