/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_fetch: `egress fetch`: jobs by hand.
 */
#include <inttypes.h>

#include "cli/cli.h"
#include "cli/interrupt.h"
#include "cli/job_ids.h"
#include "cli/transfers.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/text.h"

/* What is no id may be of any length and is not repeated as one. */
static void print_bad_id_json(const struct err *err)
{
    struct buf line = BUF_INIT(8192);
    buf_str_append(&line, "{\"job\":null");
    transfers_append_failure(&line, err);
    buf_byte(&line, '}');
    puts(buf_str(&line));
    buf_release(&line);
}

static void print_summary(const struct transfers *t, int64_t elapsed_ms)
{
    char rate[TRANSFERS_RATE_SIZE];
    size_t all = t->stored + t->already + t->failed;
    if (t->json)
        printf("{\"summary\":{\"jobs\":%zu,\"stored\":%zu,\"already_stored\":%zu,\"failed\":%zu,"
               "\"bytes\":%" PRIu64 ",\"duration_ms\":%" PRId64 "}}\n",
               all, t->stored, t->already, t->failed, t->bytes, elapsed_ms);
    else
        printf("%zu job%s: %zu stored, %zu already stored, %zu failed; %s\n", all,
               all == 1 ? "" : "s", t->stored, t->already, t->failed,
               transfers_rate(t->bytes, elapsed_ms, rate));
}

static void on_bad_id(void *arg, const struct err *err)
{
    struct transfers *t = arg;
    log_event(LOG_ERROR, LOG_FIELDS(LOG_TEXT("error", err_name(err->code))), "%s", err->msg);
    transfers_count_failure(t, err);
    if (t->json)
        print_bad_id_json(err);
}

static void cancel(void *arg)
{
    transfers_cancel(arg);
}

static int run(struct transfers *t, const struct job_ids *ids)
{
    struct err err = {0};
    struct interrupt in;
    if (interrupt_on(&in, t->assembly->loop, cancel, t, &err) < 0)
        return cli_fail(t->ctx, &err);
    transfers_run(t, ids->list, ids->n);
    interrupt_off(&in);
    return interrupt_status(&in, t->status);
}

int cmd_fetch(const struct command_context *ctx)
{
    struct err err = {0};
    struct assembly assembly;
    struct job_ids ids = {0};
    struct transfers t = {
        .ctx = ctx, .assembly = &assembly, .json = settings_on(ctx->settings, SET_JSON)};
    int64_t started_ms = clock_mono_ms();
    if (assemble(&assembly, ctx->settings, ASSEMBLE_ENGINE, &err) < 0)
        return cli_fail(ctx, &err);
    int status = STATUS_OK;
    if (job_ids_read(&ids, ctx->operands, ctx->n_operands, on_bad_id, &t, &err) < 0)
        status = cli_fail(ctx, &err);
    else
        status = run(&t, &ids);
    print_summary(&t, clock_mono_ms() - started_ms);
    job_ids_release(&ids);
    assembly_release(&assembly);
    return status;
}
