/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of routes, and the handlers that just look at one job.
 */
#include "routes.h"

#include <jansson.h>
#include <string.h>

#include "core/clock.h"
#include "core/text.h"
#include "job_json.h"
#include "signed_url.h"

enum { JOB_TEXT_MAX = 128 * 1024 };

bool find_job(struct request *rq, struct view *view, enum MHD_Result *rc)
{
    const struct switches *sw = &rq->sim->sw;
    if (!jobs_get(rq->sim->jobs, rq->id, view))
        *rc = respond_error(rq, sw->status_unknown_job, "Job not found");
    else if (view->job.foreign)
        *rc = respond_error(rq, sw->status_foreign_job, "Job not found");
    else
        return true;
    return false;
}

static enum MHD_Result handle_details(struct request *rq)
{
    struct view view;
    enum MHD_Result rc;
    if (!find_job(rq, &view, &rc))
        return rc;
    struct buf body = BUF_INIT(JOB_TEXT_MAX);
    buf_str_append(&body, "{\"job\":");
    job_json_write(&rq->sim->sw, &view, JOB_FIELDS_ALL, &body);
    buf_byte(&body, '}');
    return respond_json(rq, 200, &body);
}

static enum MHD_Result handle_request(struct request *rq)
{
    struct view view;
    enum MHD_Result rc;
    if (!find_job(rq, &view, &rc))
        return rc;
    struct buf body = BUF_INIT(JOB_TEXT_MAX);
    if (view.job.extra && view.job.extra->request)
        buf_str_append(&body, view.job.extra->request);
    else
        buf_printf(&body,
                   "{\"analytic\":\"sim/generator\",\"version\":\"1.0.0\",\"compute_mode\":"
                   "\"BEST\",\"inputs\":{\"video\":{\"data-id\":\"%s\"}},\"parameters\":{}}",
                   view.job.id);
    return respond_json(rq, 200, &body);
}

/* The analytic's own form of a date: no zone, no fraction, null when there is none. */
static void append_status_date(struct buf *out, const char *name, int64_t ms)
{
    char date[DATE_TEXT_SIZE];
    date_format_iso8601(ms, date);
    date[10] = ' ';
    if (ms)
        buf_printf(out, ",\"%s\":\"%.19s\"", name, date);
    else
        buf_printf(out, ",\"%s\":null", name);
}

static enum MHD_Result handle_status(struct request *rq)
{
    struct view view;
    enum MHD_Result rc;
    if (!find_job(rq, &view, &rc))
        return rc;
    const struct job *job = &view.job;
    struct buf body = BUF_INIT(JOB_TEXT_MAX);
    /* The analytic's file knows no state before SCHEDULED. */
    enum state state = view.state < SCHEDULED ? SCHEDULED : view.state;
    buf_printf(&body, "{\"analytic\":\"sim/generator\",\"version\":\"1.0.0\",\"state\":\"%s\"",
               state_name(state));
    append_status_date(&body, "start_time", job->queued_ms);
    append_status_date(&body, "complete_time", view.state == COMPLETE ? job->ended_ms : 0);
    append_status_date(&body, "fail_time", view.state == FAILED ? job->ended_ms : 0);
    buf_printf(&body,
               ",\"failure_type\":\"%s\",\"messages\":[],\"inputs\":{\"video\":{}},"
               "\"posted_data\":{}}",
               failure_name(job->failure));
    return respond_json(rq, 200, &body);
}

/* ---- output and log -------------------------------------------------------------------------- */

/* find_job() and that its output may be read. */
static bool find_output(struct request *rq, struct view *view, enum MHD_Result *rc)
{
    const struct switches *sw = &rq->sim->sw;
    if (!find_job(rq, view, rc))
        return false;
    if (view->state != COMPLETE)
        *rc = respond_error(rq, sw->status_not_complete,
                            "The job is %s; its output cannot be downloaded",
                            state_name(view->state));
    else if (view->expired)
        *rc = respond_error(rq, sw->status_expired, "The job's output has expired");
    else if (view->job.no_output)
        *rc = respond_error(rq, sw->status_no_output, "The job has no output");
    else
        return true;
    return false;
}

static enum MHD_Result handle_output(struct request *rq)
{
    struct view view;
    enum MHD_Result rc;
    if (!find_output(rq, &view, &rc))
        return rc;
    if (rq->sim->sw.output == OUTPUT_DIRECT)
        return output_respond(rq, &view);
    struct buf url = BUF_INIT(2048);
    signed_url_make(rq->sim, rq->id, "output", &url);
    struct MHD_Response *response =
        MHD_create_response_from_buffer(0, (void *)(uintptr_t) "", MHD_RESPMEM_PERSISTENT);
    if (response)
        MHD_add_response_header(response, "Location", buf_str(&url));
    buf_release(&url);
    return respond(rq, 302, response);
}

static enum MHD_Result respond_url(struct request *rq, const char *kind)
{
    struct buf url = BUF_INIT(2048), body = BUF_INIT(4096);
    signed_url_make(rq->sim, rq->id, kind, &url);
    buf_str_append(&body, "{\"url\":");
    text_json_quote(&body, buf_str(&url));
    buf_byte(&body, '}');
    buf_release(&url);
    return respond_json(rq, 200, &body);
}

static enum MHD_Result handle_output_url(struct request *rq)
{
    struct view view;
    enum MHD_Result rc;
    return find_output(rq, &view, &rc) ? respond_url(rq, "output") : rc;
}

enum MHD_Result respond_log(struct request *rq, const struct view *view)
{
    struct buf body = BUF_INIT(JOB_TEXT_MAX);
    buf_printf(&body, "job %s\nstate %s\n", view->job.id, state_name(view->state));
    return respond_buf(rq, 200, "text/plain; charset=utf-8", &body);
}

static bool find_log(struct request *rq, struct view *view, enum MHD_Result *rc)
{
    if (!find_job(rq, view, rc))
        return false;
    if (rq->sim->sw.log)
        return true;
    *rc = respond_error(rq, 404, "The job has no log");
    return false;
}

static enum MHD_Result handle_log(struct request *rq)
{
    struct view view;
    enum MHD_Result rc;
    return find_log(rq, &view, &rc) ? respond_log(rq, &view) : rc;
}

static enum MHD_Result handle_log_url(struct request *rq)
{
    struct view view;
    enum MHD_Result rc;
    return find_log(rq, &view, &rc) ? respond_url(rq, "log") : rc;
}

/* ---- the rest -------------------------------------------------------------------------------- */

/* The analytic's side: it tells the state of its job. */
static enum MHD_Result handle_state(struct request *rq)
{
    struct view view;
    enum MHD_Result rc;
    if (!find_job(rq, &view, &rc))
        return rc;
    json_t *root = json_loadb(buf_str(&rq->body), rq->body.len, 0, NULL);
    const char *text = json_string_value(json_object_get(root, "state"));
    const char *why = json_string_value(json_object_get(root, "failure_type"));
    enum state state = READY;
    enum failure failure = FAILURE_NONE;
    bool good = text && state_parse(text, &state) == 0;
    if (good && state == FAILED)
        good = why && failure_parse(why, &failure) == 0;
    json_decref(root);
    if (!good)
        return respond_error(rq, 400,
                             "Expected {\"state\":STATE}, and \"failure_type\" with FAILED");
    jobs_set_state(rq->sim->jobs, view.index, state, failure);
    struct buf body = BUF_INIT(256);
    buf_printf(&body, "{\"state\":\"%s\"}", state_name(state));
    return respond_json(rq, 200, &body);
}

static enum MHD_Result handle_platform_status(struct request *rq)
{
    struct buf body = BUF_INIT(1024);
    buf_str_append(&body, "{\"statuses\":{\"platform\":{\"operational\":true,\"message\":\"The "
                          "simulator runs\"},\"jobs\":{\"operational\":true,\"message\":\"\"}}}");
    return respond_json(rq, 200, &body);
}

/* "ROUTE":{"KIND":N,...},... of those that happened */
static void append_faults(struct sim *sim, struct buf *out)
{
    char name[SLOT_NAME_SIZE];
    const char *separator = "";
    for (size_t slot = 0; slot < FAULT_SLOTS; slot++) {
        const char *start = NULL;
        for (int kind = 0; kind < FAULT_KINDS; kind++) {
            unsigned long long n = sim->n_faults[slot][kind];
            if (n == 0)
                continue;
            if (!start)
                buf_printf(out, "%s\"%s\":{", separator, fault_slot_name(slot, name));
            buf_printf(out, "%s\"%s\":%llu", start ? start : "",
                       fault_kind_name((enum fault_kind)kind), n);
            start = separator = ",";
        }
        if (start)
            buf_byte(out, '}');
    }
}

static enum MHD_Result handle_stats(struct request *rq)
{
    struct sim *sim = rq->sim;
    struct buf body = BUF_INIT(256 * 1024);
    const char *separator = "";
    unsigned long long total = sim->n_unrouted;
    buf_str_append(&body, "{\"requests\":{");
    for (const struct route *route = routes; route->method; route++) {
        for (int head = 0; head < 2; head++) {
            unsigned long long n = sim->n_requests[route - routes][head];
            if (n == 0 || strncmp(route->pattern, "/sim/", 5) == 0)
                continue;
            buf_printf(&body, "%s\"%s %s\":%llu", separator, head ? "HEAD" : route->method,
                       route->pattern, n);
            separator = ",";
            total += n;
        }
    }
    buf_printf(&body,
               "},\"unrouted\":%llu,\"total\":%llu,\"output_bytes\":%llu,\"webhooks_sent\":%llu,"
               "\"webhooks_failed\":%llu,\"faults\":{",
               (unsigned long long)sim->n_unrouted, total, (unsigned long long)sim->output_bytes,
               (unsigned long long)sim->webhooks_sent, (unsigned long long)sim->webhooks_failed);
    append_faults(sim, &body);
    buf_str_append(&body, "}}");
    return respond_json(rq, 200, &body);
}

/* A route comes before one with {id} that would fit its path too. */
const struct route routes[] = {
    {"GET", "/v1/jobs/list", handle_list, WITH_TOKEN},
    {"GET", "/v1/jobs", handle_query, WITH_TOKEN},
    {"POST", "/v1/jobs", handle_upload, WITH_TOKEN},
    {"POST", "/v1/jobs/batch", handle_batch, WITH_TOKEN},
    {"GET", "/v1/jobs/{id}", handle_details, WITH_TOKEN},
    {"DELETE", "/v1/jobs/{id}", handle_delete, WITH_TOKEN},
    {"GET", "/v1/jobs/{id}/request", handle_request, WITH_TOKEN},
    {"GET", "/v1/jobs/{id}/status", handle_status, WITH_TOKEN},
    {"GET", "/v1/jobs/{id}/output", handle_output, WITH_TOKEN},
    {"GET", "/v1/jobs/{id}/output-url", handle_output_url, WITH_TOKEN},
    {"GET", "/v1/jobs/{id}/log", handle_log, WITH_TOKEN},
    {"GET", "/v1/jobs/{id}/log-url", handle_log_url, WITH_TOKEN},
    {"PUT", "/v1/jobs/{id}/start", handle_start, WITH_TOKEN},
    {"PUT", "/v1/jobs/{id}/archive", handle_archive, WITH_TOKEN},
    {"PUT", "/v1/jobs/{id}/unarchive", handle_unarchive, WITH_TOKEN},
    {"PUT", "/v1/jobs/{id}/ttl", handle_ttl, WITH_TOKEN},
    {"PUT", "/v1/jobs/{id}/kill", handle_kill, WITH_TOKEN},
    {"PUT", "/v1/jobs/{id}/state", handle_state, WITH_TOKEN},
    {"GET", "/v1/status/all", handle_platform_status, STATUS_ROUTE},
    {"GET", "/signed/{id}/output", handle_signed_output, OPEN},
    {"GET", "/signed/{id}/log", handle_signed_log, OPEN},
    {"GET", "/sim/stats", handle_stats, OPEN},
    {NULL, NULL, NULL, OPEN},
};

_Static_assert(sizeof(routes) / sizeof(routes[0]) <= ROUTES_MAX, "a counter for each route");
