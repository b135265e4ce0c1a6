/* SPDX-License-Identifier: Apache-2.0
 *
 * status: how a daemon stands, as JSON (`egress status --json`, the page) and as Prometheus' text
 * (`/metrics`). From plain values, which who calls it gathers. Pure. Any thread.
 *
 *     struct status s = {.version = EGRESS_VERSION, .jobs = {...}};
 *     status_format_json(&s, &out);
 *     status_format_metrics(&s, &out);
 */
#ifndef EGRESS_REPORT_STATUS_H
#define EGRESS_REPORT_STATUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/buf.h"
#include "queue/journal.h"

struct status_running {
    char job[JOB_ID_MAX + 1];
    int64_t started_ms, expires_ms; /* Unix time; 0: not known */
    uint64_t received;              /* bytes */
    int64_t size;                   /* or -1 */
    unsigned attempts;              /* that failed before this one */
    bool moving;                    /* false: waits for its turn */
};

struct status_slot { /* of throughput */
    int64_t began_s; /* Unix time */
    uint64_t bytes;
    uint32_t stored, failed; /* jobs */
};

struct status { /* times: Unix milliseconds, 0: none. Counters: since the start. Borrowed strings.
                 */
    const char *version;
    int64_t now_ms, started_ms;
    const char *destination, *platform; /* as a user would name them */
    bool paused, draining;
    /* the journal */
    int64_t jobs[JOURNAL_STATES];
    int64_t near_expiry, near_ms; /* unfinished jobs that expire within near_ms */
    int64_t oldest_ms;            /* received; of the oldest unfinished job */
    int64_t soonest_ms;           /* expiry of an unfinished job */
    uint64_t journal_bytes, journal_commits, journal_requests;
    /* transfers */
    uint64_t stored, already, handed_over, failed, later, dead, bytes;
    double seconds_to_expiry_min; /* left when stored; -1: none was yet */
    /* sync */
    uint64_t syncs, syncs_failed, repaired;
    int64_t last_sync_ms, next_sync_ms;
    /* webhooks */
    uint64_t webhooks_accepted, webhooks_known, webhooks_unauthorized, webhooks_rejected,
        webhooks_unavailable; /* known: accepted, of a job that was unfinished or stored already */
    uint64_t connections, requests, refused_connections, timed_out, rate_limited, malformed;
    unsigned open_connections;
    /* the process */
    uint64_t resident_bytes, cpu_ms;
    unsigned descriptors, threads;
    /* lists */
    const struct status_running *running;
    size_t n_running;
    const struct status_slot *throughput; /* oldest first */
    size_t n_throughput;
    int throughput_slot_s;
};

/* One JSON object on one line; out's cap is best STATUS_TEXT_MAX. Times in it are ISO 8601 or null.
 * Its members are described in docs/monitoring.md. */
enum { STATUS_TEXT_MAX = 4 * 1024 * 1024 };
void status_format_json(const struct status *s, struct buf *out);

/* Prometheus text format 0.0.4, "# HELP" and "# TYPE" of each. Every name begins with egress_;
 * docs/monitoring.md lists them (a test compares). */
void status_format_metrics(const struct status *s, struct buf *out);

/* {"id","state","origin","received","expires","next_try","claimed","ended","attempts","bytes",
 * "error":{"name","message"}|null,"objects":[...]|null} */
void status_format_job(const struct journal_job *job, struct buf *out);
/* {"jobs":[...],"next":CURSOR|null} */
void status_format_list(const struct journal_list *list, struct buf *out);
/* {"job":{...},"history":[{"at","what","text"}...]} */
void status_format_history(const struct journal_get *get, struct buf *out);

#endif
