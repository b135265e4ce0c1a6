/* SPDX-License-Identifier: Apache-2.0
 *
 * job_json: a job as the Platform writes it. Any thread.
 *
 *     job_json_write(&sw, &view, JOB_FIELDS_ALL, &buf);
 */
#ifndef EGRESS_SIM_JOB_JSON_H
#define EGRESS_SIM_JOB_JSON_H

#include "core/buf.h"
#include "jobs.h"

/* Platform API: the fields a query may name, in the order of the vendor's clients, and the one that
 * only details have. */
enum field {
    FIELD_ID,
    FIELD_NAME,
    FIELD_STATE,
    FIELD_ARCHIVED,
    FIELD_UPLOAD_DATE,
    FIELD_EXPIRATION_DATE,
    FIELD_EXPIRED,
    FIELD_ANALYTIC_ID,
    FIELD_COMPUTE_MODE,
    FIELD_AUTO_START,
    FIELD_START_DATE,
    FIELD_COMPLETION_DATE,
    FIELD_FAIL_DATE,
    FIELD_FAILURE_TYPE,
    FIELD_OUTPUT_FILENAME,
};
enum { N_QUERY_FIELDS = FIELD_OUTPUT_FILENAME };
#define JOB_FIELDS_QUERY ((1u << N_QUERY_FIELDS) - 1)
#define JOB_FIELDS_ALL   ((1u << (N_QUERY_FIELDS + 1)) - 1)

/* A query field by name, any case, spaces for underscores; -1: there is none. */
int field_parse(const char *name, size_t len);
bool field_is_boolean(int field);

/* Appends the field as plain text ("true", a date, ""): what is searched and sorted by. */
void field_text(const struct switches *sw, const struct view *view, int field, struct buf *out);

/* Appends a JSON object with the fields of the mask (1 << enum field). */
void job_json_write(const struct switches *sw, const struct view *view, unsigned fields,
                    struct buf *out);

/* Name of the job's output; "" when it has none. */
const char *job_filename(const struct switches *sw, const struct job *job);

#endif
