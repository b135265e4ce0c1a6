/* SPDX-License-Identifier: Apache-2.0
 *
 * POST /jobs: a job request, as the vendor's clients upload it (multipart).
 */
#include <jansson.h>
#include <string.h>
#include <strings.h>

#include "core/clock.h"
#include "core/mem.h"
#include "form.h"
#include "job_json.h"
#include "routes.h"

enum { JOB_TEXT_MAX = 128 * 1024, NAME_MAX_BYTES = 4096 };

static bool is_json_object(const char *text)
{
    json_t *root = text ? json_loads(text, 0, NULL) : NULL;
    bool is = json_is_object(root);
    json_decref(root);
    return is;
}

enum MHD_Result handle_upload(struct request *rq)
{
    char *file, *name, *auto_start, *ttl;
    const struct form_field fields[] = {
        {"file", &file}, {"job_name", &name}, {"auto_start", &auto_start}, {"job_ttl", &ttl}};
    int64_t expires_ms = 0, status = 200;
    const char *wrong = NULL;
    struct buf body = BUF_INIT(JOB_TEXT_MAX);
    struct view view;
    if (form_read(rq, fields, 4) < 0 || !is_json_object(file) || !name ||
        strlen(name) > NAME_MAX_BYTES)
        wrong = "Expected a multipart form with file (a job request in JSON) and job_name";
    else if (ttl && date_parse_iso8601(ttl, &expires_ms) < 0)
        wrong = "job_ttl is not an ISO 8601 date";
    if (wrong) {
        status = rq->sim->sw.status_bad_request;
    } else {
        struct job_extra extra = {.name = name, .request = file};
        name = file = NULL;
        bool start = auto_start && strcasecmp(auto_start, "true") == 0;
        if (jobs_upload(rq->sim->jobs, &extra, start, expires_ms, rq->sim->sizes, &view) < 0) {
            status = 503;
            wrong = "The simulator holds no more uploaded jobs";
        }
    }
    free(file);
    free(name);
    free(auto_start);
    free(ttl);
    if (wrong)
        return respond_error(rq, status, "%s", wrong);
    buf_str_append(&body, "{\"job\":");
    job_json_write(&rq->sim->sw, &view, JOB_FIELDS_ALL, &body);
    buf_byte(&body, '}');
    return respond_json(rq, status, &body);
}
