/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_verify: `egress verify`: what is stored, against its receipts.
 */
#include <inttypes.h>
#include <stdio.h>

#include "assemble/assemble.h"
#include "cli/cli.h"
#include "cli/interrupt.h"
#include "cli/progress.h"
#include "core/log.h"
#include "core/text.h"
#include "transfer/verify.h"

struct verifying {
    const struct command_context *ctx;
    struct assembly assembly;
    struct verify *verify;
    struct progress *progress;
    int slot;
    int status;
    bool json;
    size_t counts[4]; /* by enum verify_status */
};

static const char *const status_names[] = {"ok", "missing", "different", "unknown"};

static void print_json(const struct verify_result *r, const char *location)
{
    struct buf line = BUF_INIT(64 * 1024);
    buf_str_append(&line, "{\"job\":");
    text_json_quote(&line, r->job);
    buf_str_append(&line, ",\"key\":");
    text_json_quote(&line, r->key);
    buf_str_append(&line, ",\"location\":");
    text_json_quote(&line, location);
    buf_printf(&line, ",\"status\":\"%s\",\"size\":%" PRIu64 ",\"compared\":\"%s\",\"message\":",
               status_names[r->status], r->size, r->compared ? "bytes" : "size");
    text_json_quote(&line, r->message);
    buf_str_append(&line, "}\n");
    fputs(buf_str(&line), stdout);
    buf_release(&line);
}

static void on_object(void *arg, const struct verify_result *r)
{
    struct verifying *v = arg;
    struct buf where = BUF_INIT(8192);
    v->counts[r->status]++;
    if (r->status == VERIFY_UNKNOWN)
        v->status = cli_status_merge(v->status, err_exit_status(r->err));
    else if (r->status != VERIFY_OK)
        v->status = cli_status_merge(v->status, STATUS_DIFFERENT);
    if (*r->key)
        v->assembly.sink->ops->locate(v->assembly.sink, r->key, &where);
    progress_hide(v->progress);
    if (v->json)
        print_json(r, buf_str(&where));
    else if (r->status == VERIFY_OK)
        printf("%-9s  %s\n", "ok", buf_str(&where));
    else
        printf("%-9s  %s%sjob %s: %s\n", status_names[r->status], buf_str(&where),
               *r->key ? "  " : "", r->job, r->message);
    fflush(stdout);
    progress_unhide(v->progress);
    buf_release(&where);
}

static void on_end(void *arg, const struct err *err)
{
    struct verifying *v = arg;
    if (err && err->code != ERR_CANCELLED)
        v->status = cli_status_merge(v->status, cli_fail(v->ctx, err));
    loop_stop(v->assembly.loop);
}

static void cancel(void *arg)
{
    struct verifying *v = arg;
    verify_cancel(v->verify);
}

static void refresh(void *arg)
{
    struct verifying *v = arg;
    size_t done = v->counts[0] + v->counts[1] + v->counts[2] + v->counts[3];
    progress_jobs(v->progress, done, verify_receipts(v->verify));
    progress_update(v->progress, v->slot, verify_bytes(v->verify), -1);
}

static void print_summary(const struct verifying *v, uint64_t bytes)
{
    char size[TEXT_SIZE_MAX];
    if (v->json)
        printf("{\"summary\":{\"ok\":%zu,\"missing\":%zu,\"different\":%zu,\"unknown\":%zu,"
               "\"bytes_read\":%" PRIu64 "}}\n",
               v->counts[VERIFY_OK], v->counts[VERIFY_MISSING], v->counts[VERIFY_DIFFERENT],
               v->counts[VERIFY_UNKNOWN], bytes);
    else
        printf("%zu ok, %zu missing, %zu different, %zu unknown; %s read\n", v->counts[VERIFY_OK],
               v->counts[VERIFY_MISSING], v->counts[VERIFY_DIFFERENT], v->counts[VERIFY_UNKNOWN],
               text_format_size(bytes, size));
}

int cmd_verify(const struct command_context *ctx)
{
    struct err err = {0};
    struct interrupt in;
    struct verifying v = {.ctx = ctx, .json = settings_on(ctx->settings, SET_JSON)};
    if (assemble(&v.assembly, ctx->settings, ASSEMBLE_SINK, &err) < 0)
        return cli_fail(ctx, &err);
    if (interrupt_on(&in, v.assembly.loop, cancel, &v, &err) < 0) {
        assembly_release(&v.assembly);
        return cli_fail(ctx, &err);
    }
    struct verify_config config = {
        .sink = v.assembly.sink,
        .source = SOURCE_VOXEL51,
        .concurrency = (unsigned)settings_number(ctx->settings, SET_CONCURRENCY),
        .quick = settings_on(ctx->settings, SET_QUICK),
        .on_object = on_object,
        .on_end = on_end,
        .arg = &v,
    };
    v.progress = progress_new(v.assembly.loop, stderr, refresh, &v);
    v.slot = progress_add(v.progress, "reading");
    v.verify = verify_start(v.assembly.loop, &config);
    loop_run(v.assembly.loop);
    interrupt_off(&in);
    uint64_t bytes = verify_bytes(v.verify);
    verify_free(v.verify);
    progress_free(v.progress);
    print_summary(&v, bytes);
    assembly_release(&v.assembly);
    return interrupt_status(&in, v.status);
}
