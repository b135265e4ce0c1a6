/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_worker: `egress worker`: the jobs that a queue names, until told to stop.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "assemble/assemble.h"
#include "cli/cli.h"
#include "core/log.h"
#include "core/text.h"
#include "schedule/worker.h"

enum {
    WAIT_S = SQS_WAIT_MAX_S,
    WAIT_UNTIL_EMPTY_S = 1,   /* above 0: then all of SQS's servers are asked, not a sample */
    SAY_SO_MAX_MS = 5 * 1000, /* to make messages visible again, when the time is up */
};

struct working {
    const struct command_context *ctx;
    struct assembly assembly;
    struct worker *worker;
    int64_t drain_ms;
    struct loop_timer deadline;
    int signo; /* the first that came, or 0 */
    int status;
};

static void end_now(void *arg)
{
    const struct working *w = arg;
    log_error("ended before everything under way was left in order; its messages come again when "
              "their visibility timeout is over");
    fflush(stdout);
    _Exit(STATUS_SIGNAL + w->signo);
}

static void on_signal(void *arg, int signo)
{
    struct working *w = arg;
    if (w->signo)
        end_now(w);
    w->signo = signo;
    log_info("%s: taking no more messages; once more to end at once",
             signo == SIGINT ? "interrupted" : "terminated");
    worker_drain(w->worker);
    loop_timer_start(w->assembly.loop, &w->deadline, w->drain_ms + SAY_SO_MAX_MS, end_now, w);
}

static void on_end(void *arg, const struct err *err)
{
    struct working *w = arg;
    if (err)
        w->status = cli_fail(w->ctx, err);
    loop_stop(w->assembly.loop);
}

static void log_counts(const struct worker *worker)
{
    struct worker_counts n;
    char size[TEXT_SIZE_MAX];
    worker_counts(worker, &n);
    log_event(LOG_INFO,
              LOG_FIELDS(LOG_NUM("messages", n.messages), LOG_NUM("stored", n.stored),
                         LOG_NUM("already_stored", n.already),
                         LOG_NUM("handed_over", n.handed_over), LOG_NUM("failed", n.failed),
                         LOG_NUM("later", n.later), LOG_NUM("bytes", n.bytes)),
              "%zu message%s: %zu stored, %zu already stored, %zu handed over, %zu failed for "
              "good, %zu left in the queue; %s",
              n.messages, n.messages == 1 ? "" : "s", n.stored, n.already, n.handed_over, n.failed,
              n.later, text_format_size(n.bytes, size));
}

static int run(struct working *w)
{
    const struct settings *s = w->ctx->settings;
    struct err err = {0}, ignored;
    int visibility_s = (int)((settings_number(s, SET_VISIBILITY) + 999) / 1000);
    const struct consumer_config consuming = {
        .loop = w->assembly.loop,
        .engine = w->assembly.engine,
        .queue = w->assembly.queue,
        .visibility_s = visibility_s,
    };
    struct worker_config config = {
        .loop = w->assembly.loop,
        .queue = w->assembly.queue,
        .concurrency = (unsigned)settings_number(s, SET_CONCURRENCY),
        .wait_s = settings_on(s, SET_UNTIL_EMPTY) ? WAIT_UNTIL_EMPTY_S : WAIT_S,
        .visibility_s = visibility_s,
        .until_empty = settings_on(s, SET_UNTIL_EMPTY),
        .drain_ms = w->drain_ms,
        .on_end = on_end,
        .arg = w,
    };
    if (loop_on_signal(w->assembly.loop, on_signal, w, &err) < 0)
        return cli_fail(w->ctx, &err);
    struct consumer *consumer = consumer_new(&consuming);
    config.consumer = consumer;
    w->worker = worker_start(&config);
    log_info("taking messages from %s", settings_text(s, SET_QUEUE));
    loop_run(w->assembly.loop);
    loop_timer_stop(w->assembly.loop, &w->deadline);
    (void)!loop_on_signal(w->assembly.loop, NULL, NULL, &ignored);
    log_counts(w->worker);
    worker_free(w->worker);
    consumer_free(consumer);
    return w->status;
}

int cmd_worker(const struct command_context *ctx)
{
    struct err err = {0};
    struct working w = {.ctx = ctx, .drain_ms = settings_number(ctx->settings, SET_DRAIN)};
    if (assemble(&w.assembly, ctx->settings, ASSEMBLE_ENGINE | ASSEMBLE_QUEUE, &err) < 0)
        return cli_fail(ctx, &err);
    int status = run(&w);
    assembly_release(&w.assembly);
    return status;
}
