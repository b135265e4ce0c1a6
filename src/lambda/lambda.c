/* SPDX-License-Identifier: Apache-2.0
 *
 * lambda: see lambda.h. Starting, and what is around every invocation.
 */
#include "lambda/lambda.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "lambda/lambda_private.h"
#include "schedule/consumer.h"

enum {
    STATUS_AFRESH = 1,
    STATUS_NO_LAMBDA = 2,
    /* Of the time that an invocation has, so much is kept for its last messages and its answer. */
    RESERVE_SHARE = 20,
    RESERVE_MIN_MS = 200,
    RESERVE_MAX_MS = 3000,
};

/* ---- the end of an invocation ---- */

static void write_metrics(const struct lambda *l)
{
    struct buf line = BUF_INIT(EMF_LINE_MAX);
    if (emf_format(&l->emf, l->name, clock_wall_ms(), &line)) {
        puts(buf_str(&line));
        fflush(stdout);
    }
    buf_release(&line);
}

/* Before the answer, after which the machine may be frozen at once. */
static void close_invocation(struct lambda *l)
{
    write_metrics(l);
    if (l->assembly.engine)
        engine_set_deadline(l->assembly.engine, 0);
    lambda_event_release(&l->event);
    log_set_common(NULL);
}

void lambda_respond(struct lambda *l, const char *json)
{
    close_invocation(l);
    lambda_runtime_respond(l->runtime, json, strlen(json));
}

void lambda_respond_proxy(struct lambda *l, struct answer *answer)
{
    struct buf text = BUF_INIT(ANSWER_TEXT_MAX);
    answer_format_proxy(answer, &text);
    lambda_respond(l, buf_str(&text));
    buf_release(&text);
    answer_release(answer);
}

void lambda_fail(struct lambda *l, const struct err *err)
{
    char *type = xprintf("Egress.%s", err_name(err->code));
    close_invocation(l);
    lambda_runtime_fail(l->runtime, type, err);
    free(type);
}

/* ---- its beginning ---- */

static void refuse(struct lambda *l, const struct err *err)
{
    struct answer answer = {0};
    if (l->event.kind == LAMBDA_PROXY) {
        answer_refused(&answer, err);
        lambda_respond_proxy(l, &answer);
    } else {
        lambda_tell(l, NULL, "refused", err);
        lambda_fail(l, err);
    }
}

static int64_t deadline_of(const struct lambda *l, const struct lambda_invocation *in)
{
    if (in->deadline_ms == 0)
        return 0;
    int64_t left_ms = in->deadline_ms - clock_wall_ms();
    int64_t reserve_ms = left_ms / RESERVE_SHARE;
    reserve_ms = reserve_ms < RESERVE_MIN_MS   ? RESERVE_MIN_MS
                 : reserve_ms > RESERVE_MAX_MS ? RESERVE_MAX_MS
                                               : reserve_ms;
    return l->began_ms + (left_ms > reserve_ms ? left_ms - reserve_ms : 1);
}

static void on_invocation(void *arg, const struct lambda_invocation *in)
{
    static void (*const handlers[])(struct lambda *) = {[LAMBDA_PROXY] = lambda_receive,
                                                        [LAMBDA_SQS] = lambda_work,
                                                        [LAMBDA_SCHEDULE] = lambda_find_missing,
                                                        [LAMBDA_DIRECT] = lambda_direct};
    struct lambda *l = arg;
    struct err err = {0};
    memcpy(l->request_id, in->request_id, strlen(in->request_id) + 1);
    l->common[0] = (struct log_field)LOG_TEXT("request_id", l->request_id);
    l->common[1] = (struct log_field){0};
    log_set_common(l->common);
    l->began_ms = clock_mono_ms();
    l->deadline_ms = deadline_of(l, in);
    l->emf = (struct emf){0};
    if (lambda_event_parse(in->payload, in->payload_len, &l->event, &err) < 0)
        refuse(l, &err);
    else
        handlers[l->event.kind](l);
}

/* ---- the function's own life ---- */

static void on_end(void *arg, const struct err *err)
{
    struct lambda *l = arg;
    log_event(LOG_ERROR, LOG_FIELDS(LOG_TEXT("error", err_name(err->code))), "%s", err->msg);
    loop_stop(l->assembly.loop);
}

static void release(struct lambda *l)
{
    lambda_runtime_free(l->runtime);
    consumer_free(l->consumer);
    secret_release(&l->platform_token);
    secret_release(&l->webhook_secret);
    assembly_release(&l->assembly);
    log_redact(NULL);
    free(l->webhook_token);
    free(l->to);
}

int lambda_main(void)
{
    struct lambda l = {0};
    struct err wrong = {0}, err = {0};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGPIPE, &ignore, NULL);
    int rc = lambda_read_environment(&l, &wrong);
    const char *address = getenv(LAMBDA_RUNTIME_API);
    if (!address || !*address) {
        log_error(LAMBDA_RUNTIME_API " is not set: this program is started by AWS Lambda; to try "
                                     "an event by hand: egress invoke");
        return STATUS_NO_LAMBDA;
    }
    if (assemble_more(&l.assembly, &l.settings, 0, NULL, &err) < 0) {
        log_error("%s", err.msg);
        return STATUS_AFRESH;
    }
    const struct lambda_runtime_config config = {.loop = l.assembly.loop,
                                                 .address = address,
                                                 .on_invocation = on_invocation,
                                                 .on_end = on_end,
                                                 .arg = &l};
    l.runtime = lambda_runtime_new(&config);
    if (rc == 0)
        lambda_runtime_next(l.runtime);
    else
        lambda_runtime_init_fail(l.runtime, "Egress.config", &wrong);
    loop_run(l.assembly.loop);
    release(&l);
    return STATUS_AFRESH;
}
