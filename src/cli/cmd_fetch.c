/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_fetch: `egress fetch`: jobs by hand.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "assemble/assemble.h"
#include "cli/cli.h"
#include "cli/interrupt.h"
#include "cli/job_ids.h"
#include "cli/progress.h"
#include "core/clock.h"
#include "core/crc32c.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/text.h"
#include "schedule/batch.h"

struct running { /* a job in the display */
    const struct transfer *transfer;
    int slot; /* -1: not shown (it moves no data yet) */
};

struct fetch {
    const struct command_context *ctx;
    struct assembly assembly;
    struct job_ids ids;
    struct batch *batch;
    struct progress *progress;
    struct running *running; /* owned; one for each id */
    size_t first, last;      /* of those begun and perhaps not ended: [first, last) */
    int status;
    size_t stored, already, failed; /* the last with the bad ids */
    size_t bad_ids;
    uint64_t bytes;
    bool json;
};

/* ---- what is printed ---- */

static void print_object_json(struct buf *line, const struct sink *sink,
                              const struct receipt_output *o)
{
    struct buf where = BUF_INIT(8192);
    char crc[CRC32C_TEXT_SIZE];
    sink->ops->locate(sink, o->key, &where);
    buf_str_append(line, "{\"key\":");
    text_json_quote(line, o->key);
    buf_str_append(line, ",\"location\":");
    text_json_quote(line, buf_str(&where));
    buf_printf(line, ",\"size\":%" PRIu64, o->size);
    if (o->has_crc32c) {
        crc32c_format(o->crc32c, crc);
        buf_printf(line, ",\"crc32c\":\"%s\"", crc);
    }
    buf_byte(line, '}');
    buf_release(&where);
}

static void append_failure(struct buf *line, const struct err *err)
{
    buf_printf(line, ",\"status\":\"failed\",\"error\":\"%s\",\"retryable\":%s,\"message\":",
               err_name(err->code), err_is_retryable(err) ? "true" : "false");
    text_json_quote(line, err->msg);
}

/* What is no id may be of any length and is not repeated as one. */
static void print_bad_id_json(const struct err *err)
{
    struct buf line = BUF_INIT(8192);
    buf_str_append(&line, "{\"job\":null");
    append_failure(&line, err);
    buf_byte(&line, '}');
    puts(buf_str(&line));
    buf_release(&line);
}

static void print_json(struct fetch *f, const struct transfer_result *r)
{
    struct buf line = BUF_INIT(64 * 1024 * 1024);
    buf_str_append(&line, "{\"job\":");
    text_json_quote(&line, r->job);
    if (r->outcome == TRANSFER_FAILED) {
        append_failure(&line, &r->err);
    } else {
        buf_printf(&line,
                   ",\"status\":\"%s\",\"bytes\":%" PRIu64 ",\"resumed_bytes\":%" PRIu64
                   ",\"duration_ms\":%" PRId64 ",\"objects\":[",
                   r->outcome == TRANSFER_STORED ? "stored" : "already stored", r->bytes,
                   r->resumed, r->duration_ms);
        for (size_t i = 0; i < r->receipt->n_outputs; i++) {
            if (i)
                buf_byte(&line, ',');
            print_object_json(&line, f->assembly.sink, &r->receipt->outputs[i]);
        }
        buf_byte(&line, ']');
    }
    buf_str_append(&line, "}\n");
    fputs(buf_str(&line), stdout);
    buf_release(&line);
}

static void print_human(struct fetch *f, const struct transfer_result *r)
{
    const struct sink *sink = f->assembly.sink;
    for (size_t i = 0; i < r->receipt->n_outputs; i++) {
        struct buf where = BUF_INIT(8192);
        char size[TEXT_SIZE_MAX];
        sink->ops->locate(sink, r->receipt->outputs[i].key, &where);
        printf("%-14s %s  %10s  %s\n", r->outcome == TRANSFER_STORED ? "stored" : "already stored",
               r->job, text_format_size(r->receipt->outputs[i].size, size), buf_str(&where));
        buf_release(&where);
    }
}

static void print_summary(const struct fetch *f, int64_t elapsed_ms)
{
    char size[TEXT_SIZE_MAX], rate[TEXT_SIZE_MAX];
    size_t all = f->stored + f->already + f->failed;
    if (f->json) {
        printf("{\"summary\":{\"jobs\":%zu,\"stored\":%zu,\"already_stored\":%zu,\"failed\":%zu,"
               "\"bytes\":%" PRIu64 ",\"duration_ms\":%" PRId64 "}}\n",
               all, f->stored, f->already, f->failed, f->bytes, elapsed_ms);
        return;
    }
    uint64_t per_second = f->bytes * 1000 / (uint64_t)(elapsed_ms > 0 ? elapsed_ms : 1);
    printf("%zu job%s: %zu stored, %zu already stored, %zu failed; %s in %.1f s (%s/s)\n", all,
           all == 1 ? "" : "s", f->stored, f->already, f->failed, text_format_size(f->bytes, size),
           (double)elapsed_ms / 1000, text_format_size(per_second, rate));
}

/* ---- the run ---- */

static void count_failure(struct fetch *f, const struct err *err)
{
    f->failed++;
    f->status = cli_status_merge(f->status, err_exit_status(err));
}

static void on_bad_id(void *arg, const struct err *err)
{
    struct fetch *f = arg;
    log_event(LOG_ERROR, LOG_FIELDS(LOG_TEXT("error", err_name(err->code))), "%s", err->msg);
    f->bad_ids++;
    count_failure(f, err);
    if (f->json)
        print_bad_id_json(err);
}

static void on_start(void *arg, size_t index, const struct transfer *transfer)
{
    struct fetch *f = arg;
    f->running[index] = (struct running){.transfer = transfer, .slot = -1};
    f->last = index + 1;
}

static void on_done(void *arg, size_t index, const struct transfer_result *r)
{
    struct fetch *f = arg;
    f->running[index].transfer = NULL;
    if (f->running[index].slot >= 0)
        progress_remove(f->progress, f->running[index].slot);
    if (r->outcome == TRANSFER_FAILED) {
        count_failure(f, &r->err);
        if (r->err.code != ERR_CANCELLED)
            log_event(LOG_ERROR,
                      LOG_FIELDS(LOG_TEXT("job", r->job), LOG_TEXT("error", err_name(r->err.code))),
                      "job %s: %s", r->job, r->err.msg);
    } else {
        f->stored += r->outcome == TRANSFER_STORED;
        f->already += r->outcome == TRANSFER_ALREADY;
        f->bytes += r->bytes;
    }
    progress_hide(f->progress);
    if (f->json)
        print_json(f, r);
    else if (r->outcome != TRANSFER_FAILED)
        print_human(f, r);
    fflush(stdout);
    progress_unhide(f->progress);
}

static void on_end(void *arg)
{
    struct fetch *f = arg;
    loop_stop(f->assembly.loop);
}

static void cancel(void *arg)
{
    struct fetch *f = arg;
    batch_cancel(f->batch);
}

static void refresh(void *arg)
{
    struct fetch *f = arg;
    progress_jobs(f->progress, f->stored + f->already + f->failed, f->ids.n + f->bad_ids);
    while (f->first < f->last && !f->running[f->first].transfer)
        f->first++;
    for (size_t i = f->first; i < f->last; i++) {
        struct running *r = &f->running[i];
        struct transfer_progress p;
        if (!r->transfer)
            continue;
        transfer_progress(r->transfer, &p);
        if (p.moving && r->slot < 0)
            r->slot = progress_add(f->progress, p.job);
        if (p.moving)
            progress_update(f->progress, r->slot, p.received, p.size);
    }
}

static int run(struct fetch *f)
{
    struct err err = {0};
    struct interrupt in;
    struct batch_config config = {
        .engine = f->assembly.engine,
        .ids = f->ids.list,
        .n = f->ids.n,
        /* Enough to fill a details request while the slots are busy. */
        .lookahead = (unsigned)settings_number(f->ctx->settings, SET_CONCURRENCY) + 100,
        .on_start = on_start,
        .on_done = on_done,
        .on_end = on_end,
        .arg = f,
    };
    if (interrupt_on(&in, f->assembly.loop, cancel, f, &err) < 0)
        return cli_fail(f->ctx, &err);
    f->running = xcalloc(f->ids.n, sizeof(f->running[0]));
    f->progress = progress_new(f->assembly.loop, stderr, refresh, f);
    f->batch = batch_start(f->assembly.loop, &config);
    loop_run(f->assembly.loop);
    interrupt_off(&in);
    progress_free(f->progress);
    batch_free(f->batch);
    free(f->running);
    return interrupt_status(&in, f->status);
}

int cmd_fetch(const struct command_context *ctx)
{
    struct err err = {0};
    struct fetch f = {.ctx = ctx, .json = settings_on(ctx->settings, SET_JSON)};
    int64_t started_ms = clock_mono_ms();
    if (assemble(&f.assembly, ctx->settings, ASSEMBLE_ENGINE, &err) < 0)
        return cli_fail(ctx, &err);
    int status = STATUS_OK;
    if (job_ids_read(&f.ids, ctx->operands, ctx->n_operands, on_bad_id, &f, &err) < 0)
        status = cli_fail(ctx, &err);
    else
        status = run(&f);
    print_summary(&f, clock_mono_ms() - started_ms);
    job_ids_release(&f.ids);
    assembly_release(&f.assembly);
    return status;
}
