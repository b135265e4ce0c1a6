/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/transfers.h"

#include <inttypes.h>
#include <stdlib.h>

#include "cli/progress.h"
#include "core/crc32c.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/text.h"
#include "schedule/batch.h"

struct running { /* a job in the display */
    const struct transfer *transfer;
    int slot; /* -1: not shown (it moves no data yet) */
};

struct transfers_run {
    struct batch *batch;
    struct progress *progress;
    struct running *running; /* owned; one for each id */
    size_t first, last;      /* of those begun and perhaps not ended: [first, last) */
    size_t total;
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

void transfers_append_failure(struct buf *line, const struct err *err)
{
    buf_printf(line, ",\"status\":\"failed\",\"error\":\"%s\",\"retryable\":%s,\"message\":",
               err_name(err->code), err_is_retryable(err) ? "true" : "false");
    text_json_quote(line, err->msg);
}

static void print_json(const struct transfers *t, const struct transfer_result *r)
{
    struct buf line = BUF_INIT(64 * 1024 * 1024);
    buf_str_append(&line, "{\"job\":");
    text_json_quote(&line, r->job);
    if (r->outcome == TRANSFER_FAILED) {
        transfers_append_failure(&line, &r->err);
    } else {
        buf_printf(&line,
                   ",\"status\":\"%s\",\"bytes\":%" PRIu64 ",\"resumed_bytes\":%" PRIu64
                   ",\"duration_ms\":%" PRId64 ",\"objects\":[",
                   r->outcome == TRANSFER_STORED ? "stored" : "already stored", r->bytes,
                   r->resumed, r->duration_ms);
        for (size_t i = 0; i < r->receipt->n_outputs; i++) {
            if (i)
                buf_byte(&line, ',');
            print_object_json(&line, t->assembly->sink, &r->receipt->outputs[i]);
        }
        buf_byte(&line, ']');
    }
    buf_str_append(&line, "}\n");
    fputs(buf_str(&line), stdout);
    buf_release(&line);
}

static void print_human(const struct transfers *t, const struct transfer_result *r)
{
    const struct sink *sink = t->assembly->sink;
    for (size_t i = 0; i < r->receipt->n_outputs; i++) {
        struct buf where = BUF_INIT(8192);
        char size[TEXT_SIZE_MAX];
        sink->ops->locate(sink, r->receipt->outputs[i].key, &where);
        printf("%-14s %s  %10s  %s\n", r->outcome == TRANSFER_STORED ? "stored" : "already stored",
               r->job, text_format_size(r->receipt->outputs[i].size, size), buf_str(&where));
        buf_release(&where);
    }
}

const char *transfers_rate(uint64_t bytes, int64_t elapsed_ms, char out[TRANSFERS_RATE_SIZE])
{
    char size[TEXT_SIZE_MAX], rate[TEXT_SIZE_MAX];
    uint64_t per_second = bytes * 1000 / (uint64_t)(elapsed_ms > 0 ? elapsed_ms : 1);
    snprintf(out, TRANSFERS_RATE_SIZE, "%s in %.1f s (%s/s)", text_format_size(bytes, size),
             (double)elapsed_ms / 1000, text_format_size(per_second, rate));
    return out;
}

/* ---- the run ---- */

void transfers_count_failure(struct transfers *t, const struct err *err)
{
    t->failed++;
    t->status = cli_status_merge(t->status, err_exit_status(err));
}

void transfers_log_failure(const char *job, const struct err *err)
{
    if (err->code != ERR_CANCELLED)
        log_event(LOG_ERROR,
                  LOG_FIELDS(LOG_TEXT("job", job), LOG_TEXT("error", err_name(err->code))),
                  "job %s: %s", job, err->msg);
}

static void on_start(void *arg, size_t index, const struct transfer *transfer)
{
    struct transfers_run *run = ((struct transfers *)arg)->run;
    run->running[index] = (struct running){.transfer = transfer, .slot = -1};
    run->last = index + 1;
}

static void on_done(void *arg, size_t index, const struct transfer_result *r)
{
    struct transfers *t = arg;
    struct transfers_run *run = t->run;
    run->running[index].transfer = NULL;
    if (run->running[index].slot >= 0)
        progress_remove(run->progress, run->running[index].slot);
    if (r->outcome == TRANSFER_FAILED) {
        transfers_count_failure(t, &r->err);
        transfers_log_failure(r->job, &r->err);
    } else {
        t->stored += r->outcome == TRANSFER_STORED;
        t->already += r->outcome == TRANSFER_ALREADY;
        t->bytes += r->bytes;
    }
    progress_hide(run->progress);
    if (t->json)
        print_json(t, r);
    else if (r->outcome != TRANSFER_FAILED)
        print_human(t, r);
    fflush(stdout);
    progress_unhide(run->progress);
}

static void on_end(void *arg)
{
    struct transfers *t = arg;
    loop_stop(t->assembly->loop);
}

static void refresh(void *arg)
{
    struct transfers *t = arg;
    struct transfers_run *run = t->run;
    progress_jobs(run->progress, t->stored + t->already + t->failed, run->total);
    while (run->first < run->last && !run->running[run->first].transfer)
        run->first++;
    for (size_t i = run->first; i < run->last; i++) {
        struct running *r = &run->running[i];
        struct transfer_progress p;
        if (!r->transfer)
            continue;
        transfer_progress(r->transfer, &p);
        if (p.moving && r->slot < 0)
            r->slot = progress_add(run->progress, p.job);
        if (p.moving)
            progress_update(run->progress, r->slot, p.received, p.size);
    }
}

void transfers_run(struct transfers *t, char *const *ids, size_t n)
{
    struct loop *loop = t->assembly->loop;
    struct transfers_run run = {.total = n + t->failed};
    struct batch_config config = {
        .engine = t->assembly->engine,
        .ids = ids,
        .n = n,
        /* Enough to fill a details request while the slots are busy. */
        .lookahead = (unsigned)settings_number(t->ctx->settings, SET_CONCURRENCY) + 100,
        .on_start = on_start,
        .on_done = on_done,
        .on_end = on_end,
        .arg = t,
    };
    run.running = xcalloc(n, sizeof(run.running[0]));
    t->run = &run;
    run.progress = progress_new(loop, stderr, refresh, t);
    run.batch = batch_start(loop, &config);
    loop_run(loop);
    progress_free(run.progress);
    batch_free(run.batch);
    free(run.running);
    t->run = NULL;
}

void transfers_cancel(struct transfers *t)
{
    if (t->run)
        batch_cancel(t->run->batch);
}
