/* SPDX-License-Identifier: Apache-2.0
 *
 * doctor: the order of the steps, their time, and how they are told.
 */
#include "doctor/doctor.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "aws/credentials.h"
#include "core/buf.h"
#include "core/clock.h"
#include "core/mem.h"
#include "core/text.h"
#include "doctor/doctor_part.h"
#include "net/http.h"

enum {
    STEP_MAX_MS = 20 * 1000,
    /* Of one request: what is not there is to be told soon. */
    CONNECT_MAX_MS = 5 * 1000,
    STALL_MAX_MS = 8 * 1000,
    ATTEMPTS = 2,
    TEXT_MAX = 4096,
    CLOCK_FINE_S = 60,
};

struct doctor {
    struct doctor_config config;
    struct loop *loop;     /* owned */
    struct destination to; /* of has_to */
    bool has_to;

    const struct doctor_part *parts[2]; /* in order */
    size_t n_parts, part, step;         /* those under way */
    void *opened;                       /* the part's own; NULL between parts */
    unsigned have;
    bool running; /* a step is */
    bool late;    /* its time is up */
    bool cancelled, hangs;
    struct loop_task task;
    struct loop_timer limit;
};

static void next(void *arg);

const struct settings *doctor_settings(const struct doctor *d)
{
    return d->config.settings;
}

const struct destination *doctor_destination(const struct doctor *d)
{
    return &d->to;
}

const char *doctor_to(const struct doctor *d)
{
    return settings_text(d->config.settings, SET_TO);
}

struct loop *doctor_loop(struct doctor *d)
{
    return d->loop;
}

bool doctor_cancelled(const struct doctor *d)
{
    return d->cancelled;
}

/* ---- lines ---- */

static const struct doctor_step *step_now(const struct doctor *d)
{
    return &d->parts[d->part]->steps[d->step];
}

static void end_step(struct doctor *d)
{
    CHECK(d->running);
    d->running = d->late = false;
    d->step++;
    loop_timer_stop(d->loop, &d->limit);
    loop_post(d->loop, &d->task, next, d);
}

static void tell(struct doctor *d, enum doctor_status status, const struct err *err,
                 const char *advice, char *text)
{
    const struct doctor_step *step = step_now(d);
    char *todo = xstrdup(advice ? advice : "");
    text_make_printable(text);
    text_make_printable(todo);
    const struct doctor_check check = {
        .status = status,
        .name = step->name,
        .text = text,
        .advice = todo,
        .err = err,
    };
    if (status == DOCTOR_OK || status == DOCTOR_WARN)
        d->have |= step->gives;
    if (!d->cancelled || (step->always && status != DOCTOR_OK))
        d->config.on_check(d->config.arg, &check);
    free(todo);
    end_step(d);
}

static char *format(const char *fmt, va_list args) PRINTF_LIKE(1, 0);
static char *format(const char *fmt, va_list args)
{
    char *text = xcalloc(1, TEXT_MAX);
    vsnprintf(text, TEXT_MAX, fmt, args);
    return text;
}

void doctor_ok(struct doctor *d, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    char *text = format(fmt, args);
    va_end(args);
    tell(d, DOCTOR_OK, NULL, NULL, text);
    free(text);
}

void doctor_warn(struct doctor *d, const char *advice, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    char *text = format(fmt, args);
    va_end(args);
    tell(d, DOCTOR_WARN, NULL, advice, text);
    free(text);
}

void doctor_skip(struct doctor *d, const char *advice, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    char *text = format(fmt, args);
    va_end(args);
    tell(d, DOCTOR_SKIP, NULL, advice, text);
    free(text);
}

/* Where the message does not say it itself. */
static const char *usual_advice(const struct err *err)
{
    switch (err->code) {
    case ERR_NETWORK:
    case ERR_TIMEOUT:
        return "check the address, the network, a firewall in between, and the proxy variables";
    case ERR_HTTP:
        return err_is_retryable(err) ? "try again later" : "see what the store's documents say";
    case ERR_PROTOCOL:
        return "check that this address is the right one";
    case ERR_IO:
        return "check the disk and the system's log";
    default:
        return NULL;
    }
}

void doctor_fail(struct doctor *d, const struct err *err, const char *advice)
{
    struct err told = *err;
    if (d->late && err->code == ERR_CANCELLED) {
        int64_t limit_ms = step_now(d)->limit_ms;
        err_set(&told, ERR_TIMEOUT, "no end within %d s",
                (int)((limit_ms ? limit_ms : STEP_MAX_MS) / 1000));
    }
    char *text = xstrdup(told.msg);
    tell(d, DOCTOR_FAIL, &told, advice ? advice : usual_advice(&told), text);
    free(text);
}

void doctor_nothing(struct doctor *d)
{
    end_step(d);
}

void doctor_hangs(struct doctor *d)
{
    d->hangs = true;
}

/* ---- clocks ---- */

int64_t doctor_clock_off_s(int64_t ours_ms, int64_t theirs_ms)
{
    int64_t off_ms = ours_ms - theirs_ms;
    if (off_ms > 0) /* theirs was cut to the second, and is as old as the answer's way took */
        off_ms = off_ms > 1000 ? off_ms - 1000 : 0;
    return off_ms / 1000;
}

void doctor_clock(struct doctor *d, const char *whose, int64_t ours_ms, int64_t theirs_ms,
                  const char *advice)
{
    int64_t off_s = doctor_clock_off_s(ours_ms, theirs_ms);
    long long far = off_s < 0 ? -off_s : off_s;
    if (!theirs_ms)
        doctor_ok(d, "not known, as %s tells no date", whose);
    else if (far <= 2)
        doctor_ok(d, "as %s's", whose);
    else if (far < CLOCK_FINE_S)
        doctor_ok(d, "%lld s %s %s's", far, off_s < 0 ? "behind" : "ahead of", whose);
    else
        doctor_warn(d, advice, "this machine's clock is %lld s %s %s's", far,
                    off_s < 0 ? "behind" : "ahead of", whose);
}

/* ---- the order ---- */

static void time_is_up(void *arg)
{
    struct doctor *d = arg;
    d->late = true;
    d->parts[d->part]->cancel(d->opened, true);
}

/* The nearest step before that should have given what is missing. */
static const char *blame(const struct doctor *d, unsigned missing)
{
    const struct doctor_step *steps = d->parts[d->part]->steps;
    const char *name = "an earlier check";
    for (size_t i = 0; i < d->step; i++)
        if (steps[i].gives & missing)
            name = steps[i].name;
    return name;
}

static void run_step(struct doctor *d)
{
    const struct doctor_step *step = step_now(d);
    unsigned missing = step->needs & ~d->have;
    d->running = true;
    if ((d->cancelled && !step->always) || d->hangs) {
        doctor_nothing(d);
    } else if (missing) {
        doctor_skip(d, "put that right first", "not tried, as \"%s\" did not work",
                    blame(d, missing));
    } else {
        loop_timer_start(d->loop, &d->limit, step->limit_ms ? step->limit_ms : STEP_MAX_MS,
                         time_is_up, d);
        step->run(d, d->opened);
    }
}

static void next(void *arg)
{
    struct doctor *d = arg;
    if (d->part < d->n_parts && !d->opened) {
        d->opened = d->parts[d->part]->open(d);
        d->step = 0;
        d->have = 0;
    }
    if (d->part < d->n_parts && d->step < d->parts[d->part]->n) {
        run_step(d);
        return;
    }
    if (d->opened && !d->hangs)
        d->parts[d->part]->close(d->opened);
    d->opened = NULL;
    if (d->part < d->n_parts && ++d->part < d->n_parts)
        loop_post(d->loop, &d->task, next, d);
    else
        d->config.on_end(d->config.arg);
}

void doctor_start(struct doctor *d)
{
    loop_post(d->loop, &d->task, next, d);
}

void doctor_cancel(struct doctor *d)
{
    if (d->cancelled)
        return;
    d->cancelled = true;
    if (d->running && !step_now(d)->always)
        d->parts[d->part]->cancel(d->opened, false);
}

/* ---- without a destination ---- */

static void *open_none(struct doctor *d)
{
    return d;
}

static void run_none(struct doctor *d, void *part)
{
    (void)part;
    doctor_skip(d, "name one with --to to have it checked too", "none was named");
}

static void cancel_none(void *part, bool late)
{
    (void)part, (void)late;
}

static void close_none(void *part)
{
    (void)part;
}

static const struct doctor_step no_steps[] = {{.name = "destination", .run = run_none}};
static const struct doctor_part no_destination = {no_steps, 1, open_none, cancel_none, close_none};

/* ---- life ---- */

static int64_t at_most(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* What the profile says is wrong is a check's business; here it just names no bundle. */
static int start_http(const struct settings *s, bool s3, struct err *err)
{
    struct aws_profile profile = {0};
    struct err ignored = {0};
    const char *ca_bundle = settings_text(s, SET_CA_BUNDLE);
    if (s3 && aws_profile_load(settings_text(s, SET_PROFILE), &profile, &ignored) == 0 &&
        !ca_bundle)
        ca_bundle = profile.ca_bundle;
    const struct http_options options = {
        .connect_timeout_ms = at_most(settings_number(s, SET_CONNECT_TIMEOUT), CONNECT_MAX_MS),
        .stall_timeout_ms = at_most(settings_number(s, SET_READ_TIMEOUT), STALL_MAX_MS),
        .max_attempts = ATTEMPTS,
        .ca_bundle = ca_bundle,
        .user_agent = "egress/" EGRESS_VERSION,
    };
    int rc = http_init(&options, err);
    aws_profile_release(&profile);
    return rc;
}

struct doctor *doctor_new(const struct doctor_config *config, struct err *err)
{
    struct doctor *d = xcalloc(1, sizeof(*d));
    d->config = *config;
    d->parts[d->n_parts++] = &doctor_platform;
    d->has_to = doctor_to(d) != NULL;
    if (d->has_to && destination_parse(doctor_to(d), &d->to, err) < 0)
        goto fail;
    bool s3 = d->has_to && d->to.kind == DESTINATION_S3;
    d->parts[d->n_parts++] = !d->has_to ? &no_destination : s3 ? &doctor_s3 : &doctor_file;
    if (start_http(config->settings, s3, err) < 0)
        goto fail;
    d->loop = loop_new(err);
    if (d->loop)
        return d;
fail:
    doctor_free(d);
    return NULL;
}

void doctor_free(struct doctor *d)
{
    if (!d || d->hangs)
        return;
    destination_release(&d->to);
    loop_free(d->loop);
    free(d);
}
