/* SPDX-License-Identifier: Apache-2.0
 *
 * What changes a job: start, archive, ttl and so on, for one job or for a batch.
 */
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "core/clock.h"
#include "core/text.h"
#include "form.h"
#include "job_json.h"
#include "routes.h"

/* 100 years either way. */
static const double days_max = 36500;
enum { BATCH_ANSWER_MAX = 256 * 1024 * 1024 };

/* The parameters of an action, from a form or a batch. */
struct ttl {
    double days;
    int64_t expires_ms;
    bool by_days;
};

/* Exactly one of the two texts is to be given. */
static int ttl_parse(const char *days, const char *date, struct ttl *ttl, struct err *err)
{
    if (!days == !date)
        return err_set(err, ERR_INPUT, "Exactly one of days and expiration_date must be given");
    ttl->by_days = days != NULL;
    if (days) {
        char *end;
        ttl->days = strtod(days, &end);
        if (end == days || *end || !(fabs(ttl->days) <= days_max))
            return err_set(err, ERR_INPUT, "days is not a number in range");
    } else if (date_parse_iso8601(date, &ttl->expires_ms) < 0) {
        return err_set(err, ERR_INPUT, "expiration_date is not an ISO 8601 date");
    }
    return 0;
}

static int ttl_apply(struct jobs *jobs, uint32_t index, const struct ttl *ttl, struct err *err)
{
    return jobs_set_ttl(jobs, index, ttl->by_days ? &ttl->days : NULL,
                        ttl->by_days ? NULL : &ttl->expires_ms, err);
}

/* ---- one job --------------------------------------------------------------------------------- */

static enum MHD_Result act(struct request *rq, enum action action)
{
    struct view view;
    enum MHD_Result rc;
    struct err err = {0};
    if (!find_job(rq, &view, &rc))
        return rc;
    if (jobs_act(rq->sim->jobs, view.index, action, &err) < 0)
        return respond_error(rq, rq->sim->sw.status_bad_action, "%s", err.msg);
    return respond_done(rq);
}

enum MHD_Result handle_start(struct request *rq)
{
    return act(rq, ACT_START);
}

enum MHD_Result handle_archive(struct request *rq)
{
    return act(rq, ACT_ARCHIVE);
}

enum MHD_Result handle_unarchive(struct request *rq)
{
    return act(rq, ACT_UNARCHIVE);
}

enum MHD_Result handle_kill(struct request *rq)
{
    return act(rq, ACT_KILL);
}

enum MHD_Result handle_delete(struct request *rq)
{
    return act(rq, ACT_DELETE);
}

enum MHD_Result handle_ttl(struct request *rq)
{
    struct view view;
    enum MHD_Result rc;
    struct err err = {0};
    if (!find_job(rq, &view, &rc))
        return rc;
    char *days, *date;
    struct ttl ttl = {0};
    int64_t status = 0;
    const struct form_field fields[] = {{"days", &days}, {"expiration_date", &date}};
    if (form_read(rq, fields, 2) < 0) {
        err_set(&err, ERR_INPUT, "Expected a form with days or expiration_date");
        status = rq->sim->sw.status_bad_request;
    } else if (ttl_parse(days, date, &ttl, &err) < 0) {
        status = rq->sim->sw.status_bad_request;
    } else if (ttl_apply(rq->sim->jobs, view.index, &ttl, &err) < 0) {
        status = rq->sim->sw.status_bad_action;
    }
    free(days);
    free(date);
    return status ? respond_error(rq, status, "%s", err.msg) : respond_done(rq);
}

/* ---- batch ----------------------------------------------------------------------------------- */

enum { BATCH_DETAILS = -1, BATCH_TTL = -2 };

static const struct {
    const char *name;
    int action; /* enum action or one of the above */
} batch_actions[] = {
    {"details", BATCH_DETAILS}, {"ttl", BATCH_TTL},           {"start", ACT_START},
    {"archive", ACT_ARCHIVE},   {"unarchive", ACT_UNARCHIVE}, {"kill", ACT_KILL},
    {"delete", ACT_DELETE},
};

static void append_failure(const struct sim *sim, int64_t status, const char *message,
                           struct buf *out)
{
    buf_printf(out, "{%s\"error\":{\"code\":%d,\"message\":",
               sim->sw.batch_success ? "\"success\":false," : "", (int)status);
    text_json_quote(out, message);
    buf_str_append(out, "}}");
}

static void append_outcome(struct sim *sim, const char *id, int action, const struct ttl *ttl,
                           struct buf *out)
{
    const struct switches *sw = &sim->sw;
    struct view view;
    struct err err = {0};
    bool known = jobs_get(sim->jobs, id, &view);
    if (!known || view.job.foreign) {
        append_failure(sim, known ? sw->status_foreign_job : sw->status_unknown_job,
                       "Job not found", out);
        return;
    }
    int rc = 0;
    if (action == BATCH_TTL)
        rc = ttl_apply(sim->jobs, view.index, ttl, &err);
    else if (action != BATCH_DETAILS)
        rc = jobs_act(sim->jobs, view.index, (enum action)action, &err);
    if (rc < 0) {
        append_failure(sim, sw->status_bad_action, err.msg, out);
        return;
    }
    buf_str_append(out, sw->batch_success ? "{\"success\":true" : "{");
    if (action == BATCH_DETAILS) {
        buf_str_append(out, sw->batch_success ? ",\"response\":" : "\"response\":");
        job_json_write(sw, &view, JOB_FIELDS_ALL, out);
    }
    buf_byte(out, '}');
}

static int parse_action(const json_t *root, int *action, struct ttl *ttl, struct err *err)
{
    const char *name = json_string_value(json_object_get(root, "action"));
    for (size_t i = 0; name && i < sizeof(batch_actions) / sizeof(batch_actions[0]); i++) {
        if (strcmp(batch_actions[i].name, name) != 0)
            continue;
        *action = batch_actions[i].action;
        if (*action != BATCH_TTL)
            return 0;
        const json_t *days = json_object_get(root, "days");
        char number[64];
        if (json_is_number(days))
            snprintf(number, sizeof(number), "%.17g", json_number_value(days));
        return ttl_parse(json_is_number(days) ? number : json_string_value(days),
                         json_string_value(json_object_get(root, "expiration_date")), ttl, err);
    }
    return err_set(err, ERR_INPUT, "Unknown action");
}

static int run_batch(struct sim *sim, const json_t *root, struct buf *out, struct err *err)
{
    int action = BATCH_DETAILS;
    struct ttl ttl = {0};
    const json_t *ids = json_object_get(root, "ids"), *item;
    size_t i;
    if (!json_is_array(ids))
        return err_set(err, ERR_INPUT, "Expected a JSON object with action and ids");
    if (parse_action(root, &action, &ttl, err) < 0)
        return -1;
    if (sim->sw.batch_max && json_array_size(ids) > (size_t)sim->sw.batch_max)
        return err_set(err, ERR_INPUT, "More than %d ids", (int)sim->sw.batch_max);
    json_array_foreach(ids, i, item) if (!json_is_string(item)) return err_set(
        err, ERR_INPUT, "An id is not a string");
    /* An id that comes twice is acted upon once: the answer is an object with the ids as names. */
    json_t *seen = json_object();
    buf_str_append(out, "{\"responses\":{");
    const char *separator = "";
    json_array_foreach(ids, i, item)
    {
        const char *id = json_string_value(item);
        if (json_object_get(seen, id))
            continue;
        json_object_set_new(seen, id, json_true());
        buf_str_append(out, separator);
        text_json_quote(out, id);
        buf_byte(out, ':');
        append_outcome(sim, id, action, &ttl, out);
        separator = ",";
    }
    buf_str_append(out, "}}");
    json_decref(seen);
    return 0;
}

enum MHD_Result handle_batch(struct request *rq)
{
    struct err err = {0};
    struct buf body = BUF_INIT(BATCH_ANSWER_MAX);
    json_t *root = json_loadb(buf_str(&rq->body), rq->body.len, 0, NULL);
    int rc = run_batch(rq->sim, root, &body, &err);
    json_decref(root);
    if (rc == 0)
        return respond_json(rq, 200, &body);
    buf_release(&body);
    return respond_error(rq, rq->sim->sw.status_bad_request, "%s", err.msg);
}
