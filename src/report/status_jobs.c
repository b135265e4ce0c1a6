/* SPDX-License-Identifier: Apache-2.0
 *
 * status_jobs: rows of the journal as JSON.
 */
#include <jansson.h>

#include "report/status.h"
#include "report/status_private.h"

/* Only what is a JSON array: the file that it was read from may be damaged. */
static void format_objects(const char *objects, struct buf *out)
{
    json_t *array = objects ? json_loads(objects, JSON_REJECT_DUPLICATES, NULL) : NULL;
    char *text = json_is_array(array) ? json_dumps(array, JSON_COMPACT) : NULL;
    buf_str_append(out, ",\"objects\":");
    buf_str_append(out, text ? text : "null");
    free(text);
    json_decref(array);
}

void status_format_job(const struct journal_job *job, struct buf *out)
{
    buf_byte(out, '{');
    status_text(out, "id", job->id);
    buf_byte(out, ',');
    status_text(out, "state", journal_state_name(job->state));
    buf_byte(out, ',');
    status_text(out, "origin", job->origin == JOURNAL_BY_SYNC ? "sync" : "webhook");
    buf_byte(out, ',');
    status_time(out, "received", job->received_ms);
    buf_byte(out, ',');
    status_time(out, "expires", job->expires_ms);
    buf_byte(out, ',');
    status_time(out, "next_try", job->next_ms);
    buf_byte(out, ',');
    status_time(out, "claimed", job->claimed_ms);
    buf_byte(out, ',');
    status_time(out, "ended", job->ended_ms);
    buf_byte(out, ',');
    status_count(out, "attempts", job->attempts);
    buf_byte(out, ',');
    status_count(out, "bytes", job->bytes);
    buf_str_append(out, ",\"error\":");
    if (job->error_name[0]) {
        buf_byte(out, '{');
        status_text(out, "name", job->error_name);
        buf_byte(out, ',');
        status_text(out, "message", job->error ? job->error : "");
        buf_byte(out, '}');
    } else {
        buf_str_append(out, "null");
    }
    format_objects(job->objects, out);
    buf_byte(out, '}');
}

void status_format_list(const struct journal_list *list, struct buf *out)
{
    buf_str_append(out, "{\"jobs\":[");
    for (unsigned i = 0; i < list->n; i++) {
        if (i)
            buf_byte(out, ',');
        status_format_job(&list->jobs[i], out);
    }
    buf_str_append(out, "],");
    status_text(out, "next", list->next[0] ? list->next : NULL);
    buf_byte(out, '}');
}

void status_format_history(const struct journal_get *get, struct buf *out)
{
    buf_str_append(out, "{\"job\":");
    status_format_job(&get->row, out);
    buf_str_append(out, ",\"history\":[");
    for (unsigned i = 0; i < get->n_history; i++) {
        const struct journal_entry *entry = &get->history[i];
        buf_str_append(out, i ? ",{" : "{");
        status_time(out, "at", entry->at_ms);
        buf_byte(out, ',');
        status_text(out, "what", entry->what);
        buf_byte(out, ',');
        status_text(out, "text", entry->text);
        buf_byte(out, '}');
    }
    buf_str_append(out, "]}");
}
