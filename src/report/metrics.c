/* SPDX-License-Identifier: Apache-2.0
 *
 * metrics: Prometheus' text format 0.0.4 of a struct status. Source: Prometheus documentation,
 * "Exposition formats"; names after its "Metric and label naming": base units, _total for counters.
 */
#include <inttypes.h>
#include <math.h>

#include "core/text.h"
#include "report/status.h"

static void begin(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void counter(struct buf *out, const char *name, uint64_t n, const char *help)
{
    begin(out, name, "counter", help);
    buf_printf(out, "%s %" PRIu64 "\n", name, n);
}

static void gauge(struct buf *out, const char *name, uint64_t n, const char *help)
{
    begin(out, name, "gauge", help);
    buf_printf(out, "%s %" PRIu64 "\n", name, n);
}

/* No sample when there is nothing to tell: 0 would be a value like any other. */
static void seconds(struct buf *out, const char *name, double s, bool known, const char *help)
{
    begin(out, name, "gauge", help);
    if (known && isfinite(s))
        buf_printf(out, "%s %.3f\n", name, s);
}

static void labelled(struct buf *out, const char *name, const char *label, const char *value,
                     uint64_t n)
{
    buf_printf(out, "%s{%s=\"%s\"} %" PRIu64 "\n", name, label, value, n);
}

/* A label's value: \, " and the end of a line are escaped, nothing else is. */
static void label_text(struct buf *out, const char *s)
{
    const char *end = s + strlen(s);
    while (s < end) {
        size_t n = text_utf8_len(s, end);
        if (n == 0)
            buf_str_append(out, "\xef\xbf\xbd");
        else if (*s == '\n')
            buf_str_append(out, "\\n");
        else if (*s == '"' || *s == '\\')
            buf_printf(out, "\\%c", *s);
        else
            buf_append(out, s, n);
        s += n ? n : 1;
    }
}

static void format_program(const struct status *s, struct buf *out)
{
    begin(out, "egress_build_info", "gauge", "Always 1; its label is the version.");
    buf_str_append(out, "egress_build_info{version=\"");
    label_text(out, s->version);
    buf_str_append(out, "\"} 1\n");
    seconds(out, "egress_start_time_seconds", (double)s->started_ms / 1000, s->started_ms != 0,
            "When it was started, Unix time.");
    gauge(out, "egress_paused", s->paused, "1 while it takes up no jobs because it was told to.");
    gauge(out, "egress_draining", s->draining, "1 while it ends.");
    gauge(out, "egress_process_resident_memory_bytes", s->resident_bytes,
          "Memory of the process that is resident.");
    begin(out, "egress_process_cpu_seconds_total", "counter", "Processor time, user and system.");
    buf_printf(out, "egress_process_cpu_seconds_total %.3f\n", (double)s->cpu_ms / 1000);
    gauge(out, "egress_process_open_fds", s->descriptors, "Open file descriptors.");
    gauge(out, "egress_process_threads", s->threads, "Threads.");
}

static void format_queue(const struct status *s, struct buf *out)
{
    begin(out, "egress_jobs", "gauge", "Jobs in the journal, by state.");
    for (int i = 0; i < JOURNAL_STATES; i++)
        labelled(out, "egress_jobs", "state", journal_state_name((enum journal_state)i),
                 (uint64_t)s->jobs[i]);
    gauge(out, "egress_jobs_near_expiry", (uint64_t)s->near_expiry,
          "Unfinished jobs whose output expires soon, or has.");
    seconds(out, "egress_near_expiry_threshold_seconds", (double)s->near_ms / 1000, true,
            "What soon means in egress_jobs_near_expiry.");
    seconds(out, "egress_oldest_unfinished_age_seconds", (double)(s->now_ms - s->oldest_ms) / 1000,
            s->oldest_ms != 0, "Since the oldest unfinished job was received; none without one.");
    seconds(out, "egress_soonest_expiry_seconds", (double)(s->soonest_ms - s->now_ms) / 1000,
            s->soonest_ms != 0,
            "Until the first output of an unfinished job expires; below 0 once it has.");
    gauge(out, "egress_journal_size_bytes", s->journal_bytes, "The journal's files.");
    counter(out, "egress_journal_commits_total", s->journal_commits, "Commits to the journal.");
    counter(out, "egress_journal_requests_total", s->journal_requests,
            "What was asked of the journal; several share a commit.");
}

static void format_transfers(const struct status *s, struct buf *out)
{
    uint64_t moving = 0;
    for (size_t i = 0; i < s->n_running; i++)
        moving += s->running[i].moving;
    begin(out, "egress_transfers_total", "counter", "Tries that ended, by what became of the job.");
    const struct {
        const char *outcome;
        uint64_t n;
    } ended[] = {{"stored", s->stored},
                 {"already_stored", s->already},
                 {"handed_over", s->handed_over},
                 {"failed", s->failed},
                 {"later", s->later},
                 {"dead", s->dead}};
    for (size_t i = 0; i < sizeof(ended) / sizeof(ended[0]); i++)
        labelled(out, "egress_transfers_total", "outcome", ended[i].outcome, ended[i].n);
    gauge(out, "egress_transfers_moving", moving, "Jobs whose bytes are on their way.");
    counter(out, "egress_transferred_bytes_total", s->bytes, "Bytes of outputs that were stored.");
    seconds(out, "egress_stored_seconds_to_expiry_min", s->seconds_to_expiry_min,
            s->seconds_to_expiry_min >= 0,
            "The least that an output had left when it was stored, since the start.");
    counter(out, "egress_syncs_total", s->syncs, "Runs of sync.");
    counter(out, "egress_syncs_failed_total", s->syncs_failed, "Runs of sync that failed.");
    counter(out, "egress_sync_repaired_jobs_total", s->repaired,
            "Jobs that sync found and no webhook had brought.");
    seconds(out, "egress_last_sync_timestamp_seconds", (double)s->last_sync_ms / 1000,
            s->last_sync_ms != 0, "When sync last ended, Unix time.");
    seconds(out, "egress_next_sync_timestamp_seconds", (double)s->next_sync_ms / 1000,
            s->next_sync_ms != 0, "When sync runs next, Unix time.");
}

static void format_http(const struct status *s, struct buf *out)
{
    begin(out, "egress_webhooks_total", "counter", "Webhooks, by how they were answered.");
    labelled(out, "egress_webhooks_total", "answer", "accepted", s->webhooks_accepted);
    labelled(out, "egress_webhooks_total", "answer", "unauthorized", s->webhooks_unauthorized);
    labelled(out, "egress_webhooks_total", "answer", "rejected", s->webhooks_rejected);
    labelled(out, "egress_webhooks_total", "answer", "unavailable", s->webhooks_unavailable);
    counter(out, "egress_webhooks_known_total", s->webhooks_known,
            "Accepted webhooks of jobs that were queued or stored already.");
    gauge(out, "egress_http_open_connections", s->open_connections, "Connections of clients.");
    counter(out, "egress_http_connections_total", s->connections, "Connections that were taken.");
    counter(out, "egress_http_requests_total", s->requests, "Requests.");
    counter(out, "egress_http_refused_connections_total", s->refused_connections,
            "Connections over a limit, closed at once.");
    counter(out, "egress_http_timed_out_total", s->timed_out, "Clients dropped for being slow.");
    counter(out, "egress_http_rate_limited_total", s->rate_limited,
            "Requests refused because their client sent too many.");
    counter(out, "egress_http_malformed_total", s->malformed, "What was no HTTP request.");
}

void status_format_metrics(const struct status *s, struct buf *out)
{
    format_program(s, out);
    format_queue(s, out);
    format_transfers(s, out);
    format_http(s, out);
}
