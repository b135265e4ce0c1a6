/* SPDX-License-Identifier: Apache-2.0
 *
 * admin_jobs: what the admin routes ask of the journal, and what they have it do.
 */
#include <stdlib.h>
#include <string.h>

#include "core/job_id.h"
#include "serve/admin_read.h"
#include "serve/serve_private.h"

enum { ANSWER_MAX = 16 * 1024 * 1024 };

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

void admin_list(struct admin_call *call)
{
    struct err err = {0};
    const struct admin_list_query query = {
        .state = httpd_query(call->rq, "state"),
        .limit = httpd_query(call->rq, "limit"),
        .prefix = httpd_query(call->rq, "prefix"),
        .after = httpd_query(call->rq, "after"),
    };
    if (admin_read_list(&query, &call->list, &err) < 0)
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

static void on_retried(struct journal_request *request)
{
    struct admin_call *call = request->arg;
    struct buf body = BUF_INIT(1024);
    admin_ids_release(&call->ids);
    if (request->err.code != ERR_NONE) {
        admin_end_error(call, status_of(&request->err), &request->err);
        return;
    }
    dispatcher_wake(call->serve->dispatcher);
    buf_printf(&body, "{\"retried\":%zu,\"unchanged\":%zu,\"unknown\":%zu}", call->retry.retried,
               call->retry.unchanged, call->retry.unknown);
    admin_end(call, 200, &body);
}

void admin_retry(struct admin_call *call)
{
    struct err err = {0};
    size_t len;
    const char *text = httpd_body(call->rq, &len);
    if (admin_read_retry(text, len, &call->ids, &err) < 0) {
        admin_ids_release(&call->ids);
        admin_end_error(call, 400, &err);
        return;
    }
    call->retry.jobs = (const char *const *)call->ids.ids;
    call->retry.n = call->ids.n;
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
