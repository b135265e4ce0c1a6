/* SPDX-License-Identifier: Apache-2.0
 *
 * outcome: what is told of each event: a line of the log, and the counts for the metrics.
 */
#include <stdlib.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "lambda/lambda_private.h"

static int64_t duration_ms(const struct lambda *l)
{
    return clock_mono_ms() - l->began_ms;
}

static void count_stored(struct lambda *l, const struct transfer_result *r)
{
    l->emf.count[EMF_STORED]++;
    l->emf.count[EMF_BYTES] += r->bytes;
    int64_t received_ms = clock_wall_ms() - duration_ms(l);
    if (r->completed_ms)
        emf_value(&l->emf, EMF_AGE, (received_ms - r->completed_ms) / 1000);
    if (r->expires_ms)
        emf_value(&l->emf, EMF_SECONDS_TO_EXPIRY, (r->expires_ms - clock_wall_ms()) / 1000);
}

static const char *count(struct lambda *l, const struct transfer_result *r, bool later)
{
    switch (r->outcome) {
    case TRANSFER_STORED:
        count_stored(l, r);
        return "stored";
    case TRANSFER_ALREADY:
        l->emf.count[EMF_DUPLICATE]++;
        return "already stored";
    case TRANSFER_HANDED_OVER:
        l->emf.count[EMF_HANDED_OVER]++;
        return "handed over";
    case TRANSFER_FAILED:
        break;
    }
    if (later) {
        l->emf.count[EMF_LATER]++;
        return "later";
    }
    if (r->err.code == ERR_JOB_EXPIRED) {
        l->emf.count[EMF_EXPIRED]++;
        return "expired";
    }
    l->emf.count[EMF_FAILED]++;
    return "failed";
}

void lambda_tell_job(struct lambda *l, const struct transfer_result *r, bool later)
{
    const char *outcome = count(l, r, later);
    bool failed = r->outcome == TRANSFER_FAILED;
    enum log_level level = !failed ? LOG_INFO : later ? LOG_WARN : LOG_ERROR;
    log_event(level,
              LOG_FIELDS(LOG_TEXT("event", lambda_event_kind_name(l->event.kind)),
                         LOG_TEXT("job", r->job), LOG_TEXT("outcome", outcome),
                         LOG_NUM("bytes", r->bytes), LOG_NUM("duration_ms", duration_ms(l)),
                         LOG_TEXT(failed ? "error" : NULL, err_name(r->err.code))),
              "job %s: %s%s%s", r->job, outcome, failed ? ": " : "", failed ? r->err.msg : "");
}

void lambda_tell(struct lambda *l, const char *job, const char *outcome, const struct err *err)
{
    char *what = job ? xprintf("job %s: ", job) : xstrdup("");
    struct log_field fields[] = {
        LOG_TEXT("event", lambda_event_kind_name(l->event.kind)),
        LOG_TEXT("outcome", outcome),
        LOG_NUM("duration_ms", duration_ms(l)),
        LOG_TEXT(job   ? "job"
                 : err ? "error"
                       : NULL,
                 job ? job : err_name(err ? err->code : ERR_NONE)),
        LOG_TEXT(job && err ? "error" : NULL, err_name(err ? err->code : ERR_NONE)),
        {NULL, NULL, 0},
    };
    log_event(err ? LOG_ERROR : LOG_INFO, fields, "%s%s%s%s", what, outcome, err ? ": " : "",
              err ? err->msg : "");
    free(what);
}
