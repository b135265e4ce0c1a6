/* SPDX-License-Identifier: Apache-2.0
 *
 * credentials: what was found, when it is renewed, and who waits for it.
 */
#include "aws/credentials.h"

#include <stdlib.h>
#include <string.h>

#include "aws/credentials_profile.h"
#include "aws/credentials_source.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"

enum {
    /* Before they expire; at most the given part of the time they had left when they came, so that
     * a place which gives out what is about to expire is not asked all the time. */
    RENEW_BEFORE_MS = 5 * 60 * 1000, /* half */
    WAIT_BEFORE_MS = 60 * 1000,      /* a fifth */
    /* Between a fetch that failed and the next. */
    FAILED_PAUSE_MIN_MS = 1000,
    FAILED_PAUSE_MAX_MS = 30 * 1000,
};

struct credentials {
    struct loop *loop;
    struct sts *sts;                   /* owned */
    struct credentials_source *source; /* owned */
    char *tried;                       /* owned; where else was looked */
    struct aws_credentials current;    /* no key: none yet */
    int64_t renew_ms, wait_ms;         /* Unix time from when on to do so */
    bool fetching;
    bool closing;
    struct err failed;     /* the last fetch; ERR_NONE: it worked */
    int64_t not_before_ms; /* of clock_mono_ms(): when to try again */
    struct credentials_wait *waits, **last_wait;
    struct loop_task task;
    bool task_posted;
};

static bool usable(const struct credentials *c)
{
    return c->current.access_key_id &&
           (!c->current.expires_ms || clock_wall_ms() < c->current.expires_ms);
}

static bool paused(const struct credentials *c)
{
    return c->failed.code != ERR_NONE && clock_mono_ms() < c->not_before_ms;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* ---- waiting ---- */

/* Answers those who wait by now: a completion may ask again. */
static void answer_all(struct credentials *c)
{
    struct err err = c->failed;
    bool fine = usable(c);
    if (!fine && err.code == ERR_NONE)
        err_set(&err, ERR_AUTH, "%s gives credentials that expire as soon as they are there",
                c->source->provider);
    for (struct credentials_wait *w = c->waits; w; w = w->next)
        w->due = true;
    while (c->waits && c->waits->due) {
        struct credentials_wait *w = c->waits;
        credentials_forget(c, w);
        w->done(w->arg, fine ? NULL : &err);
    }
}

static void answer_task(void *arg)
{
    struct credentials *c = arg;
    c->task_posted = false;
    if (c->closing)
        loop_stop(c->loop);
    else if (!c->fetching)
        answer_all(c);
}

void credentials_forget(struct credentials *c, struct credentials_wait *wait)
{
    if (!wait->waiting)
        return;
    struct credentials_wait **at = &c->waits;
    while (*at != wait)
        at = &(*at)->next;
    *at = wait->next;
    if (!wait->next)
        c->last_wait = at;
    wait->waiting = wait->due = false;
    wait->next = NULL;
}

/* ---- fetching ---- */

static void keep(struct credentials *c, const struct aws_credentials *found)
{
    int64_t now = clock_wall_ms(), left = found->expires_ms - now;
    aws_credentials_release(&c->current);
    c->current = *found;
    c->renew_ms = found->expires_ms - least(RENEW_BEFORE_MS, left / 2);
    c->wait_ms = found->expires_ms - least(WAIT_BEFORE_MS, left / 5);
    c->failed = (struct err){0};
    char until[DATE_TEXT_SIZE] = "for ever";
    if (found->expires_ms)
        date_format_iso8601(found->expires_ms, until);
    log_debug("AWS credentials from %s, good until %s", found->provider, until);
}

static void note_failure(struct credentials *c, const struct err *err)
{
    int64_t left = c->current.expires_ms - clock_wall_ms(), pause = FAILED_PAUSE_MIN_MS;
    c->failed = *err;
    if (usable(c)) {
        char until[DATE_TEXT_SIZE];
        date_format_iso8601(c->current.expires_ms, until);
        if (left / 4 > pause)
            pause = least(left / 4, FAILED_PAUSE_MAX_MS);
        log_warn("AWS credentials could not be renewed, those there are good until %s: %s", until,
                 err->msg);
    } else if (c->current.access_key_id) {
        err_prefix(&c->failed, "AWS credentials have expired and cannot be renewed");
    } else if (c->source->last_resort) {
        /* Nobody said that this is an instance: what is missing is credentials. */
        err_set(&c->failed, err->http_status >= 500 ? err->code : ERR_CONFIG,
                "no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a "
                "profile that has some with --profile; %.200s; looked before in: %s",
                err->msg, c->tried);
        c->failed.http_status = err->http_status;
    }
    c->not_before_ms = clock_mono_ms() + pause;
}

static void on_fetched(void *arg, const struct aws_credentials *found, const struct err *err)
{
    struct credentials *c = arg;
    struct err late = {0};
    c->fetching = false;
    if (found && found->expires_ms && found->expires_ms <= clock_wall_ms()) {
        char when[DATE_TEXT_SIZE];
        date_format_iso8601(found->expires_ms, when);
        err_set(&late, ERR_AUTH,
                "%s gives credentials that expired at %s: is this machine's clock right?",
                found->provider, when);
        struct aws_credentials useless = *found;
        aws_credentials_release(&useless);
        note_failure(c, &late);
    } else if (found) {
        keep(c, found);
    } else {
        note_failure(c, err);
    }
    if (c->closing)
        loop_stop(c->loop);
    else
        answer_all(c);
}

static void fetch(struct credentials *c)
{
    c->fetching = true;
    credentials_source_fetch(c->source, on_fetched, c);
}

const struct aws_credentials *credentials_current(struct credentials *c)
{
    int64_t now = clock_wall_ms();
    if (!usable(c))
        return NULL;
    if (!c->current.expires_ms || now < c->renew_ms || paused(c))
        return &c->current;
    if (!c->fetching)
        fetch(c);
    return now < c->wait_ms ? &c->current : NULL;
}

void credentials_get(struct credentials *c, struct credentials_wait *wait,
                     credentials_done_fn *done, void *arg)
{
    CHECK(!wait->waiting && !c->closing);
    *wait = (struct credentials_wait){.done = done, .arg = arg, .waiting = true};
    *c->last_wait = wait;
    c->last_wait = &wait->next;
    if (c->fetching)
        return;
    bool ready =
        paused(c) || (usable(c) && (!c->current.expires_ms || clock_wall_ms() < c->wait_ms));
    if (!ready) {
        fetch(c);
    } else if (!c->task_posted) {
        c->task_posted = true;
        loop_post(c->loop, &c->task, answer_task, c);
    }
}

const char *credentials_provider(const struct credentials *c)
{
    return c->source->provider;
}

const char *credentials_where(const struct credentials *c)
{
    return c->source->where ? c->source->where : "";
}

/* ---- life ---- */

static struct sts *open_sts(struct loop *loop, const struct profile *profile, const char *region,
                            struct err *err)
{
    const char *url = credentials_variable("AWS_ENDPOINT_URL_STS");
    if (!url)
        url = credentials_variable("AWS_ENDPOINT_URL");
    if (!url && profile_endpoint_url(profile, "sts", &url, err) < 0)
        return NULL;
    const char *regional = credentials_variable("AWS_STS_REGIONAL_ENDPOINTS");
    if (!regional)
        regional = profile_get(profile, NULL, "sts_regional_endpoints");
    bool legacy = regional && strcmp(regional, "legacy") == 0;
    if (regional && !legacy && strcmp(regional, "regional") != 0) {
        err_set(err, ERR_CONFIG,
                "AWS_STS_REGIONAL_ENDPOINTS (sts_regional_endpoints) is neither regional nor "
                "legacy");
        return NULL;
    }
    return sts_new(loop, region && *region ? region : NULL, url, legacy, err);
}

static int look(struct credentials *c, const struct credentials_config *config, struct err *err)
{
    struct profile profile;
    struct buf tried = BUF_INIT(sizeof(err->msg));
    int found = profile_open(&profile, config->profile, "--profile", err);
    if (found == 0) {
        c->sts = open_sts(c->loop, &profile, config->region, err);
        found = c->sts ? 0 : -1;
    }
    if (found == 0) {
        const struct credentials_lookup lookup = {
            .loop = c->loop, .sts = c->sts, .profile = &profile, .environment = !config->profile};
        found = credentials_chain(&lookup, &c->source, &tried, err);
    }
    if (found == 0)
        err_set(err, ERR_CONFIG,
                "no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a "
                "profile that has some with --profile; looked in: %s",
                buf_str(&tried));
    profile_close(&profile);
    c->tried = buf_take(&tried);
    return found == 1 ? 0 : -1;
}

struct credentials *credentials_new(struct loop *loop, const struct credentials_config *config,
                                    struct err *err)
{
    struct credentials *c = xcalloc(1, sizeof(*c));
    c->loop = loop;
    c->last_wait = &c->waits;
    if (look(c, config, err) < 0) {
        credentials_free(c);
        return NULL;
    }
    if (!c->source->ops)
        c->current = credentials_copy(&c->source->keys);
    return c;
}

void credentials_free(struct credentials *c)
{
    if (!c)
        return;
    CHECK(!c->waits);
    c->closing = true;
    if (c->fetching)
        credentials_source_cancel(c->source);
    while (c->fetching || c->task_posted)
        loop_run(c->loop);
    credentials_source_free(c->source);
    sts_free(c->sts);
    aws_credentials_release(&c->current);
    free(c->tried);
    free(c);
}
