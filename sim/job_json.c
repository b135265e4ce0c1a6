/* SPDX-License-Identifier: Apache-2.0
 *
 * The fields of a job.
 */
#include "job_json.h"

#include <string.h>

#include "core/clock.h"
#include "core/text.h"

enum { ANY_TEXT_MAX = 64 * 1024 };

static const char *const names[] = {
    "id",        "name",         "state",           "archived",   "upload_date", "expiration_date",
    "expired",   "analytic_id",  "compute_mode",    "auto_start", "start_date",  "completion_date",
    "fail_date", "failure_type", "output_filename",
};

static char fold(char c)
{
    return (char)(c == ' ' ? '_' : c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

int field_parse(const char *name, size_t len)
{
    for (int i = 0; i < N_QUERY_FIELDS; i++) {
        if (strlen(names[i]) != len)
            continue;
        size_t k = 0;
        while (k < len && fold(name[k]) == names[i][k])
            k++;
        if (k == len)
            return i;
    }
    return -1;
}

bool field_is_boolean(int field)
{
    return field == FIELD_ARCHIVED || field == FIELD_EXPIRED || field == FIELD_AUTO_START;
}

static bool field_boolean(const struct view *view, int field)
{
    return field == FIELD_ARCHIVED  ? view->job.archived
           : field == FIELD_EXPIRED ? view->expired
                                    : view->job.auto_start;
}

const char *job_filename(const struct switches *sw, const struct job *job)
{
    if (job->no_output)
        return "";
    if (*sw->output_filename)
        return sw->output_filename;
    return job->extra && job->extra->filename ? job->extra->filename : "labels.json";
}

/* 0: none. */
static int64_t field_date(const struct view *view, int field)
{
    const struct job *job = &view->job;
    switch (field) {
    case FIELD_UPLOAD_DATE:
        return job->uploaded_ms;
    case FIELD_EXPIRATION_DATE:
        return job->expires_ms;
    case FIELD_START_DATE:
        return job->queued_ms;
    case FIELD_COMPLETION_DATE:
        return view->state == COMPLETE ? job->ended_ms : 0;
    case FIELD_FAIL_DATE:
        return view->state == FAILED ? job->ended_ms : 0;
    default:
        return 0;
    }
}

void field_text(const struct switches *sw, const struct view *view, int field, struct buf *out)
{
    const struct job *job = &view->job;
    char date[DATE_TEXT_SIZE];
    switch (field) {
    case FIELD_ID:
        buf_str_append(out, job->id);
        break;
    case FIELD_NAME:
        if (job->extra && job->extra->name)
            buf_str_append(out, job->extra->name);
        else
            buf_printf(out, "clip-%06u.mp4-sim/generator", (unsigned)view->index);
        break;
    case FIELD_STATE:
        buf_str_append(out, state_name(view->state));
        break;
    case FIELD_ARCHIVED:
    case FIELD_EXPIRED:
    case FIELD_AUTO_START:
        buf_str_append(out, field_boolean(view, field) ? "true" : "false");
        break;
    case FIELD_ANALYTIC_ID:
        buf_str_append(out, "8d1c5a3e-6f0b-4c2d-9e47-51b0a7c3d2f8");
        break;
    case FIELD_COMPUTE_MODE:
        buf_str_append(out, "BEST");
        break;
    case FIELD_FAILURE_TYPE:
        buf_str_append(out, failure_name(job->failure));
        break;
    case FIELD_OUTPUT_FILENAME:
        buf_str_append(out, job_filename(sw, job));
        break;
    default:
        if (field_date(view, field)) {
            date_format_iso8601(field_date(view, field), date);
            buf_str_append(out, date);
        }
    }
}

void job_json_write(const struct switches *sw, const struct view *view, unsigned fields,
                    struct buf *out)
{
    struct buf text = BUF_INIT(ANY_TEXT_MAX);
    const char *separator = "";
    buf_byte(out, '{');
    for (int field = 0; field <= FIELD_OUTPUT_FILENAME; field++) {
        if (!(fields & 1u << field))
            continue;
        buf_clear(&text);
        field_text(sw, view, field, &text);
        bool absent = text.len == 0 && field != FIELD_NAME;
        if (absent && sw->absent_dates == ABSENT_OMIT)
            continue;
        buf_printf(out, "%s\"%s\":", separator, names[field]);
        separator = ",";
        if (absent)
            buf_str_append(out, "null");
        else if (!field_is_boolean(field))
            text_json_quote(out, buf_str(&text));
        else if (sw->booleans == BOOLEANS_NUMBER)
            buf_byte(out, field_boolean(view, field) ? '1' : '0');
        else
            buf_str_append(out, buf_str(&text));
    }
    buf_byte(out, '}');
    buf_release(&text);
}
