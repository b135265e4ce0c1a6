/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_sync: `egress sync`: what webhooks missed. Four steps, each of which runs the loop: find what
 * is missing; put off what would expire; then transfer, or send to the queue.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/interrupt.h"
#include "cli/progress.h"
#include "cli/transfers.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/text.h"
#include "queue/sqs.h"
#include "schedule/spread.h"
#include "schedule/sync.h"

enum { SEND_AT_A_TIME = 100 }; /* ten requests */
static const int64_t day_ms = 24 * 3600 * (int64_t)1000;

struct syncing {
    const struct command_context *ctx;
    struct assembly assembly;
    struct interrupt in;
    struct progress *progress;
    struct transfers transfers;
    bool json, dry_run, queue;
    int64_t started_ms;
    /* what was found */
    struct sync *sync;
    bool found;
    struct sync_counts counts;
    const struct sync_job *missing; /* counts.missing of them */
    /* what is done for each, one step at a time */
    struct spread *spread;
    size_t *at_risk; /* owned; indexes of those to be put off, n_at_risk of them */
    size_t n_at_risk;
    int64_t *expires_ms;           /* owned; of each, after it was put off */
    struct queue_sqs_op **sending; /* owned; of each, NULL: not under way */
    size_t extended, not_extended, queued;
    size_t done, total; /* of the step, for the display */
};

/* ---- what is printed ---- */

static void append_date(struct buf *line, const char *name, int64_t ms)
{
    char date[DATE_TEXT_SIZE];
    date_format_iso8601(ms, date);
    if (ms)
        buf_printf(line, ",\"%s\":\"%s\"", name, date);
    else
        buf_printf(line, ",\"%s\":null", name);
}

/* A line of its own for a job to which something was done, or would be. */
static void print_job(struct syncing *s, const char *status, const struct sync_job *job,
                      int64_t expires_ms)
{
    struct buf line = BUF_INIT(4096);
    char date[DATE_TEXT_SIZE] = "not known";
    if (expires_ms)
        date_format_iso8601(expires_ms, date);
    if (s->json) {
        buf_printf(&line, "{\"job\":\"%s\",\"status\":\"%s\"", job->id, status);
        append_date(&line, "expires", expires_ms);
        append_date(&line, "completed", job->completed_ms);
        buf_byte(&line, '}');
    } else {
        buf_printf(&line, "%-14s %s  expires %s", status, job->id, date);
    }
    progress_hide(s->progress);
    puts(buf_str(&line));
    fflush(stdout);
    progress_unhide(s->progress);
    buf_release(&line);
}

static void print_failure_json(struct syncing *s, const char *job, const struct err *err)
{
    struct buf line = BUF_INIT(8192);
    buf_printf(&line, "{\"job\":\"%s\"", job);
    transfers_append_failure(&line, err);
    buf_byte(&line, '}');
    progress_hide(s->progress);
    puts(buf_str(&line));
    progress_unhide(s->progress);
    buf_release(&line);
}

static void print_summary_json(const struct syncing *s, size_t repaired, int64_t elapsed_ms)
{
    const struct transfers *t = &s->transfers;
    printf("{\"summary\":{\"listed\":%zu,\"stored_before\":%zu,\"missing\":%zu,\"under_way\":%zu,"
           "\"repaired\":%zu,\"already_stored\":%zu,\"failed\":%zu,\"left_out\":{\"failed\":%zu,"
           "\"expired\":%zu,\"older\":%zu},\"extended\":%zu,\"not_extended\":%zu,\"queued\":%s,"
           "\"dry_run\":%s,\"bytes\":%" PRIu64 ",\"duration_ms\":%" PRId64 "}}\n",
           s->counts.listed, s->counts.stored, s->counts.missing, s->counts.under_way, repaired,
           t->already, t->failed, s->counts.failed, s->counts.expired, s->counts.older, s->extended,
           s->not_extended, s->queue ? "true" : "false", s->dry_run ? "true" : "false", t->bytes,
           elapsed_ms);
}

static void print_summary(const struct syncing *s)
{
    const struct transfers *t = &s->transfers;
    const struct sync_counts *c = &s->counts;
    int64_t elapsed_ms = clock_mono_ms() - s->started_ms;
    size_t repaired = s->queue ? s->queued : t->stored;
    char rate[TRANSFERS_RATE_SIZE];
    if (s->json) {
        print_summary_json(s, repaired, elapsed_ms);
        return;
    }
    printf("%zu finished job%s: %zu stored before, %zu missing; left out: %zu failed, %zu expired, "
           "%zu older\n",
           c->listed, c->listed == 1 ? "" : "s", c->stored, c->missing, c->failed, c->expired,
           c->older);
    if (c->under_way)
        printf("%zu of the missing %s under way, and not put into the queue again\n", c->under_way,
               c->under_way == 1 ? "is" : "are");
    if (s->extended + s->not_extended)
        printf("%zu kept longer, %zu not\n", s->extended, s->not_extended);
    if (s->dry_run)
        puts("nothing was done");
    else if (s->queue)
        printf("%zu repaired (put into the queue), %zu failed\n", repaired, t->failed);
    else
        printf("%zu repaired, %zu already stored, %zu failed; %s\n", repaired, t->already,
               t->failed, transfers_rate(t->bytes, elapsed_ms, rate));
}

/* ---- steps ---- */

static void stop_loop(void *arg)
{
    struct syncing *s = arg;
    loop_stop(s->assembly.loop);
}

static void cancel(void *arg)
{
    struct syncing *s = arg;
    if (s->sync && !s->found)
        sync_cancel(s->sync);
    if (s->spread)
        spread_stop(s->spread);
    for (size_t i = 0; s->sending && i < s->counts.missing; i++)
        if (s->sending[i])
            queue_sqs_cancel(s->sending[i]);
    transfers_cancel(&s->transfers);
}

/* Does a thing for each of n, with the display. */
static void spread_out(struct syncing *s, size_t n, unsigned at_a_time,
                       void (*start)(void *arg, size_t index, struct spread_slot *slot),
                       void (*on_each)(void *arg, size_t index, const struct err *err))
{
    struct spread_config config = {
        .n = n,
        .at_a_time = at_a_time,
        .start = start,
        .on_each = on_each,
        .on_end = stop_loop,
        .arg = s,
    };
    s->done = 0;
    s->total = n;
    s->spread = spread_start(s->assembly.loop, &config);
    loop_run(s->assembly.loop);
    spread_free(s->spread);
    s->spread = NULL;
}

static void refresh(void *arg)
{
    struct syncing *s = arg;
    if (!s->found)
        sync_counts(s->sync, &s->counts);
    progress_jobs(s->progress, s->done, s->found ? s->total : s->counts.listed);
}

/* ---- finding ---- */

static void on_found(void *arg, const struct err *err)
{
    struct syncing *s = arg;
    s->found = !err;
    if (err && err->code != ERR_CANCELLED)
        s->transfers.status = cli_fail(s->ctx, err);
    loop_stop(s->assembly.loop);
}

static void find(struct syncing *s, int64_t since_ms)
{
    const struct settings *set = s->ctx->settings;
    struct sync_config config = {
        .source = s->assembly.source,
        .sink = settings_on(set, SET_RECEIPTS) ? s->assembly.sink : NULL,
        .since_ms = since_ms,
        .tell_under_way = s->queue,
        .on_end = on_found,
        .arg = s,
    };
    s->sync = sync_start(s->assembly.loop, &config);
    loop_run(s->assembly.loop);
    sync_counts(s->sync, &s->counts);
    s->missing = sync_missing(s->sync, &s->counts.missing);
}

/* ---- putting off ---- */

/* At risk: those for which --extend-ttl makes a difference, because they expire sooner; and those
 * of which the list did not say when. */
static void find_at_risk(struct syncing *s)
{
    int64_t days = settings_number(s->ctx->settings, SET_EXTEND_TTL);
    int64_t bound_ms = clock_wall_ms() + days * day_ms;
    s->at_risk = xcalloc(s->counts.missing, sizeof(s->at_risk[0]));
    s->expires_ms = xcalloc(s->counts.missing, sizeof(s->expires_ms[0]));
    for (size_t i = 0; days && i < s->counts.missing; i++)
        if (s->missing[i].expires_ms < bound_ms)
            s->at_risk[s->n_at_risk++] = i;
}

static void extend_one(void *arg, size_t index, struct spread_slot *slot)
{
    struct syncing *s = arg;
    struct source *source = s->assembly.source;
    source->ops->extend(source, s->missing[s->at_risk[index]].id,
                        (int)settings_number(s->ctx->settings, SET_EXTEND_TTL),
                        &s->expires_ms[index], spread_done, slot);
}

static void on_extended(void *arg, size_t index, const struct err *err)
{
    struct syncing *s = arg;
    const struct sync_job *job = &s->missing[s->at_risk[index]];
    s->done++;
    if (err) {
        s->not_extended++;
        log_event(LOG_WARN,
                  LOG_FIELDS(LOG_TEXT("job", job->id), LOG_TEXT("error", err_name(err->code))),
                  "job %s is not kept longer: %s", job->id, err->msg);
        if (err_exit_status(err) == STATUS_REFUSED) /* so will be the others */
            spread_stop(s->spread);
    } else if (s->expires_ms[index] > job->expires_ms) {
        s->extended++;
        print_job(s, "extended", job, s->expires_ms[index]);
    }
}

/* ---- what is missing ---- */

static void tell_only(struct syncing *s)
{
    size_t risk = 0;
    for (size_t i = 0; i < s->counts.missing; i++) {
        bool at_risk = risk < s->n_at_risk && s->at_risk[risk] == i;
        risk += at_risk;
        const char *status = s->missing[i].under_way ? "under way" : "missing";
        print_job(s, at_risk ? "to be extended" : status, &s->missing[i], s->missing[i].expires_ms);
    }
}

static void send_one(void *arg, size_t index, struct spread_slot *slot)
{
    struct syncing *s = arg;
    s->sending[index] =
        queue_sqs_send(s->assembly.queue, s->missing[index].id, 0, spread_done, slot);
}

static void on_sent(void *arg, size_t index, const struct err *err)
{
    struct syncing *s = arg;
    const struct sync_job *job = &s->missing[index];
    s->sending[index] = NULL;
    s->done++;
    if (!err) {
        s->queued++;
        print_job(s, "queued", job, job->expires_ms);
        return;
    }
    transfers_count_failure(&s->transfers, err);
    transfers_log_failure(job->id, err);
    if (s->json)
        print_failure_json(s, job->id, err);
    if (err_exit_status(err) == STATUS_REFUSED) /* so will be the others */
        spread_stop(s->spread);
}

static void transfer_all(struct syncing *s)
{
    char **ids = xcalloc(s->counts.missing, sizeof(ids[0]));
    for (size_t i = 0; i < s->counts.missing; i++)
        ids[i] = (char *)s->missing[i].id;
    transfers_run(&s->transfers, ids, s->counts.missing);
    free(ids);
}

static void send_all(struct syncing *s)
{
    size_t n = s->counts.missing - s->counts.under_way; /* which are the last ones */
    s->sending = xcalloc(s->counts.missing, sizeof(void *));
    s->progress = progress_new(s->assembly.loop, stderr, refresh, s);
    spread_out(s, n, SEND_AT_A_TIME, send_one, on_sent);
    progress_free(s->progress);
    s->progress = NULL;
    s->transfers.failed = n - s->queued;
}

static void repair(struct syncing *s)
{
    unsigned concurrency = (unsigned)settings_number(s->ctx->settings, SET_CONCURRENCY);
    find_at_risk(s);
    if (s->dry_run) {
        tell_only(s);
        return;
    }
    if (s->n_at_risk) {
        s->progress = progress_new(s->assembly.loop, stderr, refresh, s);
        spread_out(s, s->n_at_risk, concurrency, extend_one, on_extended);
        progress_free(s->progress);
        s->progress = NULL;
    }
    if (s->in.signo)
        return;
    if (s->queue)
        send_all(s);
    else
        transfer_all(s);
}

/* ---- the command ---- */

/* "2020-01-20", "2020-01-20T15:00:00Z", "12h". A number alone would mean seconds, which nobody
 * means who writes a year. */
static int parse_since(const char *text, int64_t *since_ms, struct err *err)
{
    char day[32];
    int64_t ago_ms;
    *since_ms = 0;
    if (!text || date_parse_iso8601(text, since_ms) == 0)
        return 0;
    snprintf(day, sizeof(day), "%.10sT00:00Z", text);
    if (strlen(text) == 10 && date_parse_iso8601(day, since_ms) == 0)
        return 0;
    if (text[strspn(text, "0123456789")] && text_parse_duration(text, &ago_ms) == 0) {
        *since_ms = clock_wall_ms() - ago_ms;
        return 0;
    }
    return err_set(
        err, ERR_USAGE,
        "--since %.100s: expected a date, such as 2020-01-20 or 2020-01-20T15:00:00Z, or "
        "how long ago, such as 12h or 3d",
        text);
}

static unsigned extent(const struct syncing *s)
{
    if (s->queue)
        return ASSEMBLE_SINK | ASSEMBLE_SOURCE | ASSEMBLE_QUEUE;
    return s->dry_run ? ASSEMBLE_SINK | ASSEMBLE_SOURCE : ASSEMBLE_ENGINE;
}

static int run(struct syncing *s, int64_t since_ms)
{
    struct err err = {0};
    if (interrupt_on(&s->in, s->assembly.loop, cancel, s, &err) < 0)
        return cli_fail(s->ctx, &err);
    s->progress = progress_new(s->assembly.loop, stderr, refresh, s);
    find(s, since_ms);
    progress_free(s->progress);
    s->progress = NULL;
    if (s->found && !s->in.signo)
        repair(s);
    interrupt_off(&s->in);
    if (s->found)
        print_summary(s);
    return interrupt_status(&s->in, s->transfers.status);
}

int cmd_sync(const struct command_context *ctx)
{
    struct err err = {0};
    const struct settings *set = ctx->settings;
    int64_t since_ms;
    struct syncing s = {
        .ctx = ctx,
        .json = settings_on(set, SET_JSON),
        .dry_run = settings_on(set, SET_DRY_RUN),
        .queue = settings_text(set, SET_QUEUE) != NULL,
        .started_ms = clock_mono_ms(),
    };
    s.transfers = (struct transfers){.ctx = ctx, .assembly = &s.assembly, .json = s.json};
    if (parse_since(settings_text(set, SET_SINCE), &since_ms, &err) < 0 ||
        assemble(&s.assembly, set, extent(&s), &err) < 0)
        return cli_fail(ctx, &err);
    int status = run(&s, since_ms);
    sync_free(s.sync);
    free(s.at_risk);
    free(s.expires_ms);
    free(s.sending);
    assembly_release(&s.assembly);
    return status;
}
