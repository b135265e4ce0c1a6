/* SPDX-License-Identifier: Apache-2.0
 *
 * voxel51, expiry: putting it off.
 *
 * A date that has passed deletes the output, and an earlier one brings that nearer. So the present
 * expiry is asked for first, nothing is sent that is not later, and afterwards it is asked whether
 * it has helped: the answer to the request itself says nothing (platform API notes, 5.3). The date
 * is sent rather than a number of days: those are added to whatever is there, each time that a
 * request is repeated.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/mem.h"
#include "net/url.h"
#include "platform/voxel51_private.h"

enum { FORM_MAX = 128, ANSWER_MAX_BYTES = 1024 * 1024 };
static const int64_t day_ms = 24 * 3600 * (int64_t)1000;

struct extension {
    struct voxel51 *v;
    char id[JOB_ID_MAX + 1];
    int days;
    int64_t *expires_ms; /* borrowed until done */
    source_done_fn *done;
    void *arg;
    struct source_job job; /* as it was told last */
    int64_t before_ms;
    struct buf form;
};

static void finish(struct extension *x, const struct err *err)
{
    if (!err)
        *x->expires_ms = x->job.expires_ms;
    x->v->n_extensions--;
    x->done(x->arg, err);
    source_job_release(&x->job);
    buf_release(&x->form);
    free(x);
}

static void on_after(void *arg, const struct err *err)
{
    struct extension *x = arg;
    char date[DATE_TEXT_SIZE];
    struct err why = {0};
    if (err) {
        why = *err;
        err_prefix(&why, "whether the expiry was put off is not known");
    } else if (x->job.expired || x->job.expires_ms <= x->before_ms) {
        date_format_iso8601(x->before_ms, date);
        err_set(&why, ERR_PROTOCOL,
                "the Platform agreed to put the expiry off, but did not: it is no later than %s",
                date);
    }
    finish(x, why.code == ERR_NONE ? NULL : &why);
}

static void on_put(void *arg, const struct http_response *rsp, const struct err *err)
{
    struct extension *x = arg;
    struct source *source = &x->v->source;
    char words[VOXEL51_WORDS_SIZE];
    bool envelope;
    struct err why = {0};
    if (!err) {
        source_job_release(&x->job);
        source->ops->describe(source, x->id, &x->job, on_after, x);
        return;
    }
    if (!voxel51_common_error(rsp, err, words, &envelope, &why)) {
        err_set(&why, ERR_HTTP, "the Platform refuses to put the expiry off (%d%s)",
                err->http_status, words);
        why.http_status = err->http_status;
    }
    finish(x, &why);
}

static void put(struct extension *x, int64_t until_ms)
{
    char date[DATE_TEXT_SIZE];
    date_format_iso8601(until_ms, date);
    buf_str_append(&x->form, "expiration_date=");
    url_encode(&x->form, date, strlen(date), false);
    char *url = voxel51_job_url(x->v, x->id, "/ttl");
    struct http_header headers[] = {voxel51_auth_header(x->v),
                                    {"Content-Type", "application/x-www-form-urlencoded", false}};
    struct http_request rq = {
        .method = "PUT",
        .url = url,
        .headers = headers,
        .n_headers = 2,
        .body = buf_str(&x->form),
        .body_len = x->form.len,
        .has_body = true,
        .max_body = ANSWER_MAX_BYTES,
    };
    http_start(x->v->loop, &rq, &(struct http_events){.on_done = on_put}, x);
    free(url);
}

static void on_before(void *arg, const struct err *err)
{
    struct extension *x = arg;
    struct err why = {0};
    if (err) {
        finish(x, err);
        return;
    }
    x->before_ms = x->job.expires_ms;
    int64_t until_ms = clock_wall_ms() + x->days * day_ms;
    if (x->job.expired)
        err_set(&why, ERR_JOB_EXPIRED, "the output has expired; there is nothing to put off");
    else if (x->before_ms == 0)
        err_set(&why, ERR_PROTOCOL,
                "the Platform does not say when the output expires; the expiry is left as it is, "
                "since an earlier date would delete it");
    if (why.code != ERR_NONE)
        finish(x, &why);
    else if (until_ms <= x->before_ms)
        finish(x, NULL);
    else
        put(x, until_ms);
}

void voxel51_extend(struct source *source, const char *job_id, int days, int64_t *expires_ms,
                    source_done_fn *done, void *arg)
{
    CHECK(days > 0);
    struct extension *x = xcalloc(1, sizeof(*x));
    *x = (struct extension){.v = (struct voxel51 *)source,
                            .days = days,
                            .expires_ms = expires_ms,
                            .done = done,
                            .arg = arg,
                            .form = BUF_INIT(FORM_MAX)};
    x->v->n_extensions++;
    /* One that is too long is none, and describe says so. */
    snprintf(x->id, sizeof(x->id), "%s", job_id);
    source->ops->describe(source, job_id, &x->job, on_before, x);
}
