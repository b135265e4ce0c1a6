/* SPDX-License-Identifier: Apache-2.0 */
#include "report/status.h"

#include <inttypes.h>
#include <math.h>

#include "core/clock.h"
#include "core/text.h"
#include "report/status_private.h"

void status_text(struct buf *out, const char *name, const char *text)
{
    buf_printf(out, "\"%s\":", name);
    if (text)
        text_json_quote(out, text);
    else
        buf_str_append(out, "null");
}

void status_time(struct buf *out, const char *name, int64_t ms)
{
    char date[DATE_TEXT_SIZE];
    if (ms)
        date_format_iso8601(ms, date);
    status_text(out, name, ms ? date : NULL);
}

void status_bool(struct buf *out, const char *name, bool value)
{
    buf_printf(out, "\"%s\":%s", name, value ? "true" : "false");
}

void status_count(struct buf *out, const char *name, uint64_t n)
{
    buf_printf(out, "\"%s\":%" PRIu64, name, n);
}

struct count {
    const char *name;
    uint64_t n;
};

/* ,"NAME":{"...":1,...} without its end, so that other members can follow. */
static void begin_counts(struct buf *out, const char *name, const struct count *counts, size_t n)
{
    buf_printf(out, ",\"%s\":{", name);
    for (size_t i = 0; i < n; i++) {
        if (i)
            buf_byte(out, ',');
        status_count(out, counts[i].name, counts[i].n);
    }
}
#define BEGIN_COUNTS(out, name, ...)                                                               \
    begin_counts(out, name, (const struct count[]){__VA_ARGS__},                                   \
                 sizeof((const struct count[]){__VA_ARGS__}) / sizeof(struct count))

static void format_program(const struct status *s, struct buf *out)
{
    status_text(out, "version", s->version);
    buf_byte(out, ',');
    status_time(out, "now", s->now_ms);
    buf_byte(out, ',');
    status_time(out, "started", s->started_ms);
    buf_byte(out, ',');
    status_text(out, "destination", s->destination);
    buf_byte(out, ',');
    status_text(out, "platform", s->platform);
    buf_byte(out, ',');
    status_bool(out, "paused", s->paused);
    buf_byte(out, ',');
    status_bool(out, "draining", s->draining);
}

static void format_queue(const struct status *s, struct buf *out)
{
    struct count counts[JOURNAL_STATES];
    for (int i = 0; i < JOURNAL_STATES; i++)
        counts[i] = (struct count){journal_state_name((enum journal_state)i), (uint64_t)s->jobs[i]};
    begin_counts(out, "jobs", counts, JOURNAL_STATES);
    buf_byte(out, '}');
    BEGIN_COUNTS(out, "near_expiry", {"jobs", (uint64_t)s->near_expiry},
                 {"within_s", (uint64_t)(s->near_ms / 1000)});
    buf_str_append(out, "},");
    status_time(out, "oldest_received", s->oldest_ms);
    buf_byte(out, ',');
    status_time(out, "soonest_expiry", s->soonest_ms);
    BEGIN_COUNTS(out, "journal", {"bytes", s->journal_bytes}, {"commits", s->journal_commits},
                 {"requests", s->journal_requests});
    buf_byte(out, '}');
}

static void format_counts(const struct status *s, struct buf *out)
{
    BEGIN_COUNTS(out, "transfers", {"stored", s->stored}, {"already_stored", s->already},
                 {"handed_over", s->handed_over}, {"failed", s->failed}, {"later", s->later},
                 {"dead", s->dead}, {"bytes", s->bytes});
    buf_str_append(out, ",\"least_seconds_to_expiry\":");
    if (isfinite(s->seconds_to_expiry_min) && s->seconds_to_expiry_min >= 0)
        buf_printf(out, "%.3f}", s->seconds_to_expiry_min);
    else
        buf_str_append(out, "null}");
    BEGIN_COUNTS(out, "sync", {"runs", s->syncs}, {"failed", s->syncs_failed},
                 {"repaired", s->repaired});
    buf_byte(out, ',');
    status_time(out, "last", s->last_sync_ms);
    buf_byte(out, ',');
    status_time(out, "next", s->next_sync_ms);
    buf_byte(out, '}');
    BEGIN_COUNTS(out, "webhooks", {"accepted", s->webhooks_accepted}, {"known", s->webhooks_known},
                 {"unauthorized", s->webhooks_unauthorized}, {"rejected", s->webhooks_rejected},
                 {"unavailable", s->webhooks_unavailable});
    buf_byte(out, '}');
    BEGIN_COUNTS(out, "http", {"open_connections", s->open_connections},
                 {"connections", s->connections}, {"requests", s->requests},
                 {"refused_connections", s->refused_connections}, {"timed_out", s->timed_out},
                 {"rate_limited", s->rate_limited}, {"malformed", s->malformed});
    buf_byte(out, '}');
    BEGIN_COUNTS(out, "process", {"resident_bytes", s->resident_bytes}, {"cpu_ms", s->cpu_ms},
                 {"descriptors", s->descriptors}, {"threads", s->threads});
    buf_byte(out, '}');
}

static void format_running(const struct status *s, struct buf *out)
{
    buf_str_append(out, ",\"running\":[");
    for (size_t i = 0; i < s->n_running; i++) {
        const struct status_running *r = &s->running[i];
        buf_str_append(out, i ? ",{" : "{");
        status_text(out, "id", r->job);
        buf_byte(out, ',');
        status_time(out, "started", r->started_ms);
        buf_byte(out, ',');
        status_time(out, "expires", r->expires_ms);
        buf_byte(out, ',');
        status_count(out, "received", r->received);
        if (r->size >= 0)
            buf_printf(out, ",\"size\":%" PRId64 ",", r->size);
        else
            buf_str_append(out, ",\"size\":null,");
        status_count(out, "attempts", r->attempts);
        buf_byte(out, ',');
        status_bool(out, "moving", r->moving);
        buf_byte(out, '}');
    }
    buf_byte(out, ']');
}

/* A quiet hour has hundreds of slots in which nothing happened: they are left out. */
static void format_throughput(const struct status *s, struct buf *out)
{
    const char *comma = "";
    buf_printf(out, ",\"throughput\":{\"slot_s\":%d,\"slots\":[", s->throughput_slot_s);
    for (size_t i = 0; i < s->n_throughput; i++) {
        const struct status_slot *slot = &s->throughput[i];
        if (!slot->bytes && !slot->stored && !slot->failed)
            continue;
        buf_printf(out, "%s{", comma);
        status_time(out, "began", slot->began_s * 1000);
        buf_printf(out, ",\"bytes\":%" PRIu64 ",\"stored\":%" PRIu32 ",\"failed\":%" PRIu32 "}",
                   slot->bytes, slot->stored, slot->failed);
        comma = ",";
    }
    buf_str_append(out, "]}");
}

void status_format_json(const struct status *s, struct buf *out)
{
    buf_byte(out, '{');
    format_program(s, out);
    format_queue(s, out);
    format_counts(s, out);
    format_running(s, out);
    format_throughput(s, out);
    buf_byte(out, '}');
}
