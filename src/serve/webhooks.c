/* SPDX-License-Identifier: Apache-2.0
 *
 * webhooks: POST /job-complete: checked on the HTTP server's thread, answered on the journal's,
 * once the job is on disk.
 */
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "ingress/accept.h"
#include "serve/serve_private.h"

#define WEBHOOK_PATH "/job-complete"
#define RETRY_AFTER  "30" /* seconds; of a 503 */

struct webhook { /* until it is answered */
    struct journal_accept accept;
    struct serve *serve;
    struct httpd_request *rq;
};

static void send_answer(struct httpd_request *rq, struct answer *answer)
{
    static const char *const allow[] = {"Allow", "POST", NULL};
    static const char *const later[] = {"Retry-After", RETRY_AFTER, NULL};
    const struct httpd_answer out = {
        .status = answer->status,
        .body = answer->body,
        .len = strlen(answer->body),
        .headers = answer->status == 405   ? allow
                   : answer->status == 503 ? later
                                           : NULL,
    };
    httpd_answer(rq, &out);
    answer_release(answer);
}

/* ---- checks ---- */

/* *answer is set when it may not pass. */
static bool may_pass(struct serve *s, const struct httpd_request *rq, struct answer *answer)
{
    struct err err = {0};
    struct signature_given given = {
        .query_token = httpd_query(rq, "token"),
        .header_token = httpd_header(rq, "x-egress-token"),
        .authorization = httpd_header(rq, "Authorization"),
        .webhook_id = httpd_header(rq, "webhook-id"),
        .webhook_timestamp = httpd_header(rq, "webhook-timestamp"),
        .webhook_signature = httpd_header(rq, "webhook-signature"),
        .hub_signature = httpd_header(rq, "X-Hub-Signature-256"),
    };
    given.body = httpd_body(rq, &given.body_len);
    pthread_rwlock_rdlock(&s->secrets.lock);
    int rc = s->secrets.webhooks
                 ? signature_check(s->secrets.webhooks, &given, clock_wall_ms(), &err)
                 : 0;
    pthread_rwlock_unlock(&s->secrets.lock);
    if (rc == 0)
        return true;
    atomic_fetch_add(&s->unauthorized, 1);
    log_event(LOG_WARN, LOG_FIELDS(LOG_NUM("status", 401), LOG_TEXT("peer", httpd_peer(rq))),
              "webhook refused: %s", err.msg);
    answer_unauthorized(answer, &err);
    return false;
}

static void refuse_path(struct serve *s, const struct httpd_request *rq, struct answer *answer)
{
    struct err err = {0};
    atomic_fetch_add(&s->rejected, 1);
    err_set(&err, ERR_NOT_FOUND, "%.100s: no such path; expected " WEBHOOK_PATH, httpd_path(rq));
    answer_refused(answer, &err);
    answer->status = 404;
}

/* ---- the answer, on the journal's thread ---- */

static void on_committed(struct journal_request *request)
{
    struct webhook *w = (struct webhook *)request;
    struct serve *s = w->serve;
    struct answer answer;
    if (request->err.code != ERR_NONE) {
        atomic_fetch_add(&s->unavailable, 1);
        log_event(LOG_ERROR,
                  LOG_FIELDS(LOG_TEXT("job", w->accept.job),
                             LOG_TEXT("error", err_name(request->err.code))),
                  "webhook not accepted: job %s: %s", w->accept.job, request->err.msg);
        answer_unavailable(&answer, w->accept.job, &request->err);
        if (request->err.code == ERR_CONFIG) /* the dispatcher meets the same, and ends it */
            dispatcher_wake(s->dispatcher);
    } else {
        bool is_new = w->accept.accepted == JOURNAL_NEW || w->accept.accepted == JOURNAL_AGAIN;
        atomic_fetch_add(&s->accepted, 1);
        if (is_new)
            dispatcher_wake(s->dispatcher);
        else
            atomic_fetch_add(&s->known, 1);
        if (w->accept.accepted == JOURNAL_STORED_BEFORE)
            answer_stored(&answer, w->accept.job, true, NULL, 0);
        else
            answer_queued(&answer, w->accept.job);
    }
    send_answer(w->rq, &answer);
    free(w);
    atomic_fetch_sub(&s->pending, 1);
}

static void submit(struct serve *s, struct httpd_request *rq, const struct event *event)
{
    struct webhook *w = xcalloc(1, sizeof(*w));
    w->serve = s;
    w->rq = rq;
    w->accept.request.kind = JOURNAL_ACCEPT;
    w->accept.request.done = on_committed;
    w->accept.origin = JOURNAL_BY_WEBHOOK;
    memcpy(w->accept.job, event->id, sizeof(w->accept.job));
    journal_submit(s->journal, &w->accept.request);
}

/* Counted before `draining` is looked at: whoever waits for the last answers sees one or the other.
 */
void webhook_request(void *arg, struct httpd_request *rq)
{
    struct serve *s = arg;
    struct answer answer = {0};
    struct event event = {0};
    size_t len;
    const char *body = httpd_body(rq, &len);
    atomic_fetch_add(&s->pending, 1);
    if (strcmp(httpd_path(rq), WEBHOOK_PATH) != 0) {
        refuse_path(s, rq, &answer);
    } else if (atomic_load(&s->draining)) {
        struct err err = {0};
        atomic_fetch_add(&s->unavailable, 1);
        err_set(&err, ERR_CANCELLED, "the daemon is ending");
        answer_unavailable(&answer, NULL, &err);
    } else if (may_pass(s, rq, &answer)) {
        if (accept_event(httpd_method(rq), body, len, &event, &answer)) {
            submit(s, rq, &event);
            event_release(&event);
            return;
        }
        atomic_fetch_add(&s->rejected, 1);
    }
    send_answer(rq, &answer);
    atomic_fetch_sub(&s->pending, 1);
}
