/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_journal: `egress journal`: the embedded queue looked at by hand, above all when it is
 * damaged.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "core/clock.h"
#include "core/text.h"
#include "queue/journal.h"

enum { REPORT_MAX = 256 * 1024, LINE_MAX_BYTES = 64 * 1024 };

/* ---- check ---- */

/* A line of the report each: text, or in a JSON object. */
static void print_report(const struct buf *report, bool json)
{
    struct buf line = BUF_INIT(LINE_MAX_BYTES);
    const char *at = buf_str(report), *end;
    for (; *at; at = *end ? end + 1 : end) {
        end = at + strcspn(at, "\n");
        char text[2048];
        snprintf(text, sizeof(text), "%.*s", (int)(end - at), at);
        text_make_printable(text);
        buf_clear(&line);
        if (json) {
            buf_str_append(&line, "{\"problem\":");
            text_json_quote(&line, text);
            buf_str_append(&line, "}\n");
        } else {
            buf_printf(&line, "%s\n", text);
        }
        fputs(buf_str(&line), stdout);
    }
    buf_release(&line);
}

static int check(const struct command_context *ctx, const char *path)
{
    struct err err = {0};
    struct buf report = BUF_INIT(REPORT_MAX);
    bool json = settings_on(ctx->settings, SET_JSON);
    int rc = journal_check(path, &report, &err);
    print_report(&report, json);
    if (json)
        printf("{\"summary\":{\"sound\":%s}}\n", rc == 0 ? "true" : "false");
    else if (rc == 0)
        printf("%s: sound\n", path);
    buf_release(&report);
    return rc < 0 ? cli_fail(ctx, &err) : STATUS_OK;
}

/* ---- export ---- */

static void add_time(struct buf *line, const char *name, int64_t unix_ms)
{
    char when[DATE_TEXT_SIZE];
    date_format_iso8601(unix_ms, when);
    if (unix_ms)
        buf_printf(line, ",\"%s\":\"%s\"", name, when);
    else
        buf_printf(line, ",\"%s\":null", name);
}

static int print_job(void *arg, const struct journal_job *job)
{
    struct buf *line = arg;
    buf_clear(line);
    buf_printf(line, "{\"id\":\"%s\",\"state\":\"%s\",\"origin\":\"%s\"", job->id,
               journal_state_name(job->state), job->origin == JOURNAL_BY_SYNC ? "sync" : "webhook");
    add_time(line, "received", job->received_ms);
    add_time(line, "expires", job->expires_ms);
    add_time(line, "next_try", job->next_ms);
    add_time(line, "claimed", job->claimed_ms);
    add_time(line, "ended", job->ended_ms);
    buf_printf(line, ",\"attempts\":%u,\"bytes\":%" PRIu64 ",\"error\":", job->attempts,
               job->bytes);
    if (*job->error_name) {
        buf_str_append(line, "{\"name\":");
        text_json_quote(line, job->error_name);
        buf_str_append(line, ",\"message\":");
        text_json_quote(line, job->error ? job->error : "");
        buf_str_append(line, "}");
    } else {
        buf_str_append(line, "null");
    }
    /* As text: out of a damaged file it may be no JSON any more. */
    buf_str_append(line, ",\"objects\":");
    if (job->objects)
        text_json_quote(line, job->objects);
    else
        buf_str_append(line, "null");
    buf_str_append(line, "}\n");
    return fputs(buf_str(line), stdout) == EOF ? -1 : 0;
}

static int export_jobs(const struct command_context *ctx, const char *path)
{
    struct err err = {0};
    struct buf line = BUF_INIT(LINE_MAX_BYTES);
    int rc = journal_export(path, print_job, &line, &err);
    buf_release(&line);
    return rc < 0 ? cli_fail(ctx, &err) : STATUS_OK;
}

int cmd_journal(const struct command_context *ctx)
{
    struct err err = {0};
    const char *path = settings_text(ctx->settings, SET_JOURNAL), *what = ctx->operands[0];
    if (!path)
        err_set(&err, ERR_USAGE, "--journal is missing: expected the journal's file");
    else if (strcmp(what, "check") == 0)
        return check(ctx, path);
    else if (strcmp(what, "export") == 0)
        return export_jobs(ctx, path);
    else
        err_set(&err, ERR_USAGE, "%.100s: expected check or export", what);
    return cli_fail(ctx, &err);
}
