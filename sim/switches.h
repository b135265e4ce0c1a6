/* SPDX-License-Identifier: Apache-2.0
 *
 * switches: what nobody knows about the Platform, as `--set NAME=VALUE`. The table in switches.c is
 * the only list of them: names, defaults, choices and the text of --help. Set before any thread
 * starts, read by all.
 *
 *     struct switches sw;
 *     switches_default(&sw);
 *     if (switches_set(&sw, "status_expired=410", &err) < 0) ...
 *     switches_help(stdout);
 */
#ifndef EGRESS_SIM_SWITCHES_H
#define EGRESS_SIM_SWITCHES_H

#include <stdint.h>
#include <stdio.h>

#include "core/err.h"

/* Values of the choices, in the order of the table's text. */
enum { NO, YES };
enum { OUTPUT_DIRECT, OUTPUT_REDIRECT };
enum { FRAMING_LENGTH, FRAMING_CHUNKED };
enum { GZIP_OFF, GZIP_ACCEPT, GZIP_ALWAYS };
enum { ETAG_STRONG, ETAG_WEAK, ETAG_NONE };
enum { GOOG_HASH_OFF, GOOG_HASH_CRC32C, GOOG_HASH_MD5, GOOG_HASH_BOTH, GOOG_HASH_LINES };
enum { DIGEST_OFF, DIGEST_SHA256, DIGEST_MD5 };
enum { SIGNED_PORT_SAME, SIGNED_PORT_OTHER };
enum { BOOLEANS_JSON, BOOLEANS_NUMBER };
enum { ABSENT_NULL, ABSENT_OMIT };
enum { SEARCH_SENSITIVE, SEARCH_INSENSITIVE };
enum { ERROR_JSON, ERROR_HTML };
enum { CLOCK_RUN, CLOCK_STOP };
enum { QUERY_FROM_ANY, QUERY_FROM_BODY, QUERY_FROM_STRING, QUERY_FROM_NONE };
enum { LIST_FIELDS_ALL, LIST_FIELDS_ID };
enum { RETRY_AFTER_SECONDS, RETRY_AFTER_DATE };

struct switches {
    /* statuses */
    int64_t status_bad_token, status_unknown_job, status_foreign_job, status_bad_request;
    int64_t status_not_complete, status_expired, status_no_output, status_bad_action, status_done;
    int64_t error_body, status_auth, retry_after;
    /* the job object and the queries */
    int64_t booleans, absent_dates, search_case, batch_max, batch_success;
    int64_t query_max, query_default, query_from, query_sort, query_fields;
    int64_t list_expired, list_fields;
    const char *query_total;
    /* outputs */
    int64_t output, framing, gzip, etag, ranges, goog_hash, content_md5, digest, hash_lie;
    int64_t body_cut, body_cut_times, body_rate;
    const char *output_filename, *content_type, *content_disposition;
    /* signed URLs */
    int64_t signed_port, signed_ttl_ms, signed_head, log;
    const char *signed_host;
    /* the clock */
    int64_t clock, auto_start, job_ttl_ms, ttl_max_ms, ready_ms, queued_ms, scheduled_ms,
        running_ms;
    /* webhooks */
    int64_t webhook_delay_ms, webhook_jitter_ms, webhook_copies, webhook_retries, webhook_retry_ms;
    const char *webhook_event;
    /* everything */
    int64_t latency_ms;
};

void switches_default(struct switches *sw);

/* "NAME=VALUE"; the text is borrowed for the life of *sw. 0, or -1 (ERR_USAGE: what is allowed). */
int switches_set(struct switches *sw, const char *assignment, struct err *err);

void switches_help(FILE *out);

#endif
