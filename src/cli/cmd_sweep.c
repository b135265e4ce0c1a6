/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_sweep: `egress sweep`: uploads that nobody will finish.
 */
#include <stdio.h>

#include "assemble/assemble.h"
#include "cli/cli.h"
#include "cli/interrupt.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/text.h"
#include "transfer/key.h"
#include "transfer/sweep.h"

struct sweeping {
    const struct command_context *ctx;
    struct assembly assembly;
    struct sweep *sweep;
    bool json;
    int status;
    size_t counts[5]; /* by enum sweep_status */
};

static const char *const status_names[] = {"found", "undone", "failed", "younger", "foreign"};

static void print_json(const struct sweep_result *r, const char *location, const char *started)
{
    struct buf line = BUF_INIT(64 * 1024);
    buf_printf(&line, "{\"status\":\"%s\",\"location\":", status_names[r->status]);
    text_json_quote(&line, location);
    buf_str_append(&line, ",\"upload_id\":");
    text_json_quote(&line, r->id);
    buf_printf(&line, ",\"started\":\"%s\",\"message\":", started);
    text_json_quote(&line, r->err ? r->err->msg : "");
    buf_str_append(&line, "}\n");
    fputs(buf_str(&line), stdout);
    buf_release(&line);
}

static void on_upload(void *arg, const struct sweep_result *r)
{
    struct sweeping *s = arg;
    struct buf where = BUF_INIT(8192);
    char started[DATE_TEXT_SIZE];
    s->counts[r->status]++;
    if (r->err)
        s->status = cli_status_merge(s->status, err_exit_status(r->err));
    s->assembly.sink->ops->locate(s->assembly.sink, r->key, &where);
    date_format_iso8601(r->started_ms, started);
    if (s->json)
        print_json(r, buf_str(&where), started);
    else
        printf("%-8s  begun %s  %s%s%s\n", status_names[r->status], started, buf_str(&where),
               r->err ? ": " : "", r->err ? r->err->msg : "");
    buf_release(&where);
}

static void on_end(void *arg, const struct err *err)
{
    struct sweeping *s = arg;
    if (err && err->code != ERR_CANCELLED)
        s->status = cli_status_merge(s->status, cli_fail(s->ctx, err));
    loop_stop(s->assembly.loop);
}

static void cancel(void *arg)
{
    struct sweeping *s = arg;
    sweep_cancel(s->sweep);
}

static void print_summary(const struct sweeping *s)
{
    const size_t *n = s->counts;
    if (s->json)
        printf("{\"summary\":{\"found\":%zu,\"undone\":%zu,\"failed\":%zu,\"younger\":%zu,"
               "\"foreign\":%zu}}\n",
               n[SWEEP_FOUND], n[SWEEP_UNDONE], n[SWEEP_FAILED], n[SWEEP_YOUNGER],
               n[SWEEP_FOREIGN]);
    else
        printf("%zu %s, %zu failed; left alone: %zu younger, %zu not of --key\n",
               n[SWEEP_FOUND] + n[SWEEP_UNDONE],
               settings_on(s->ctx->settings, SET_DRY_RUN) ? "would be undone" : "undone",
               n[SWEEP_FAILED], n[SWEEP_YOUNGER], n[SWEEP_FOREIGN]);
}

int cmd_sweep(const struct command_context *ctx)
{
    struct err err = {0};
    struct interrupt in;
    struct sweeping s = {.ctx = ctx, .json = settings_on(ctx->settings, SET_JSON)};
    if (key_template_check(settings_text(ctx->settings, SET_KEY), &err) < 0 ||
        assemble(&s.assembly, ctx->settings, ASSEMBLE_SINK, &err) < 0)
        return cli_fail(ctx, &err);
    if (interrupt_on(&in, s.assembly.loop, cancel, &s, &err) < 0) {
        assembly_release(&s.assembly);
        return cli_fail(ctx, &err);
    }
    struct sweep_config config = {
        .sink = s.assembly.sink,
        .key_template = settings_text(ctx->settings, SET_KEY),
        .older_than_ms = settings_number(ctx->settings, SET_OLDER_THAN),
        .dry_run = settings_on(ctx->settings, SET_DRY_RUN),
        .on_upload = on_upload,
        .on_end = on_end,
        .arg = &s,
    };
    s.sweep = sweep_start(s.assembly.loop, &config);
    loop_run(s.assembly.loop);
    interrupt_off(&in);
    sweep_free(s.sweep);
    print_summary(&s);
    assembly_release(&s.assembly);
    return interrupt_status(&in, s.status);
}
