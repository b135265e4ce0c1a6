/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of switches, and how values are read.
 */
#include "switches.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "core/text.h"

enum kind { CHOICE, STATUS, COUNT, MILLISECONDS, DURATION, SIZE, TEXT, HEADER };

struct row {
    const char *name;
    enum kind kind;
    size_t offset;
    const char *initial;
    const char *choices; /* for CHOICE: "a|b|c"; value is the place in it */
    const char *help;
};

#define AT(member) offsetof(struct switches, member)

static const struct row table[] = {
    {"status_bad_token", STATUS, AT(status_bad_token), "401", NULL, "no token, or a wrong one"},
    {"status_unknown_job", STATUS, AT(status_unknown_job), "404", NULL, "an id nobody has"},
    {"status_foreign_job", STATUS, AT(status_foreign_job), "404", NULL, "someone else's job"},
    {"status_bad_request", STATUS, AT(status_bad_request), "400", NULL, "a bad parameter or body"},
    {"status_not_complete", STATUS, AT(status_not_complete), "400", NULL,
     "output of a job that is not COMPLETE"},
    {"status_expired", STATUS, AT(status_expired), "404", NULL, "output that has expired"},
    {"status_no_output", STATUS, AT(status_no_output), "404", NULL,
     "a COMPLETE job without output"},
    {"status_bad_action", STATUS, AT(status_bad_action), "400", NULL,
     "an action the job's state forbids"},
    {"status_done", STATUS, AT(status_done), "204", NULL, "success of start, archive, ttl, ..."},
    {"error_body", CHOICE, AT(error_body), "json", "json|html", "form of an error's body"},
    {"retry_after", CHOICE, AT(retry_after), "seconds", "seconds|date",
     "form of Retry-After (see status under Faults)"},
    {"status_auth", CHOICE, AT(status_auth), "yes", "no|yes", "/status/all wants the token"},
    {"latency_ms", MILLISECONDS, AT(latency_ms), "0", NULL, "wait before each answer"},

    {"booleans", CHOICE, AT(booleans), "json", "json|number", "true and false, or 1 and 0"},
    {"absent_dates", CHOICE, AT(absent_dates), "null", "null|absent",
     "dates (and output_filename) a job does not have"},
    {"query_total", TEXT, AT(query_total), "count", NULL, "member that holds a query's total"},
    {"query_max", COUNT, AT(query_max), "0", NULL, "most jobs in one query's answer; 0: all"},
    {"query_default", COUNT, AT(query_default), "0", NULL,
     "jobs in the answer to a query without a limit; 0: all"},
    {"query_from", CHOICE, AT(query_from), "any", "any|body|string|none",
     "where a query's members are read; none: there is no such route"},
    {"query_sort", CHOICE, AT(query_sort), "yes", "no|yes", "a query's `sort` is heeded"},
    {"query_fields", CHOICE, AT(query_fields), "yes", "no|yes", "a query's `fields` are heeded"},
    {"search_case", CHOICE, AT(search_case), "sensitive", "sensitive|insensitive",
     "comparison of searched text; booleans are always insensitive"},
    {"list_expired", CHOICE, AT(list_expired), "yes", "no|yes", "/jobs/list shows expired jobs"},
    {"list_fields", CHOICE, AT(list_fields), "all", "all|id", "what /jobs/list tells of a job"},
    {"batch_success", CHOICE, AT(batch_success), "yes", "no|yes", "batch answers hold `success`"},
    {"batch_max", COUNT, AT(batch_max), "0", NULL, "most ids in one batch; 0: no limit"},

    {"output", CHOICE, AT(output), "direct", "direct|redirect",
     "/output sends the bytes, or 302 to a signed URL"},
    {"framing", CHOICE, AT(framing), "length", "length|chunked",
     "Content-Length, or chunks and no length"},
    {"gzip", CHOICE, AT(gzip), "off", "off|accept|always",
     "Content-Encoding: gzip, when asked for or always"},
    {"etag", CHOICE, AT(etag), "strong", "strong|weak|none", "ETag of an output"},
    {"ranges", CHOICE, AT(ranges), "yes", "no|yes", "Range is honoured"},
    {"x_goog_hash", CHOICE, AT(goog_hash), "off", "off|crc32c|md5|both|lines",
     "x-goog-hash; lines: both, in two header lines"},
    {"content_md5", CHOICE, AT(content_md5), "no", "no|yes", "Content-MD5 (whole outputs only)"},
    {"digest", CHOICE, AT(digest), "off", "off|sha-256|md5", "Digest"},
    {"hash_lie", CHOICE, AT(hash_lie), "no", "no|yes", "the checksums above are wrong"},
    {"output_filename", TEXT, AT(output_filename), "", NULL,
     "name of every output; empty: the file's own, or labels.json"},
    {"content_type", HEADER, AT(content_type), "", NULL,
     "Content-Type of outputs; empty: by the name's ending; none: not sent"},
    {"content_disposition", HEADER, AT(content_disposition), "", NULL,
     "Content-Disposition of outputs; empty: not sent; auto: attachment with the name"},
    {"body_cut", SIZE, AT(body_cut), "off", NULL,
     "close the connection after so many bytes of an output; off: never"},
    {"body_cut_times", COUNT, AT(body_cut_times), "0", NULL,
     "cut just the first so many requests of each job; 0: every one"},
    {"body_rate", SIZE, AT(body_rate), "off", NULL,
     "bytes a second of each output; off: all speed"},

    {"signed_port", CHOICE, AT(signed_port), "same", "same|other",
     "where signed URLs point: this port, or one more (with output=redirect always)"},
    {"signed_host", HEADER, AT(signed_host), "", NULL,
     "host name in signed URLs; empty: that of --listen"},
    {"signed_ttl", DURATION, AT(signed_ttl_ms), "1h", NULL, "life of a signed URL"},
    {"signed_head", CHOICE, AT(signed_head), "no", "no|yes",
     "a signed URL answers HEAD (S3's do not: the method is signed)"},
    {"log", CHOICE, AT(log), "yes", "no|yes", "jobs have a log (private analytics only)"},

    {"clock", CHOICE, AT(clock), "run", "run|stop", "stop: jobs stay in the state they are in"},
    {"auto_start", CHOICE, AT(auto_start), "yes", "no|yes", "READY jobs start by themselves"},
    {"job_ttl", DURATION, AT(job_ttl_ms), "3d", NULL,
     "life of an output, from the start of the simulator or the upload of the job"},
    {"ttl_max", DURATION, AT(ttl_max_ms), "0s", NULL,
     "a later expiry than so long from now is not granted, silently; 0s: any is"},
    {"ready_ms", MILLISECONDS, AT(ready_ms), "200", NULL, "time in READY, with auto_start"},
    {"queued_ms", MILLISECONDS, AT(queued_ms), "200", NULL, "time in QUEUED"},
    {"scheduled_ms", MILLISECONDS, AT(scheduled_ms), "200", NULL, "time in SCHEDULED"},
    {"running_ms", MILLISECONDS, AT(running_ms), "1000", NULL, "time in RUNNING"},

    {"webhook_event", TEXT, AT(webhook_event), "job_complete", NULL, "value of `event`"},
    {"webhook_delay_ms", MILLISECONDS, AT(webhook_delay_ms), "0", NULL, "after COMPLETE"},
    {"webhook_jitter_ms", MILLISECONDS, AT(webhook_jitter_ms), "0", NULL,
     "up to so much more, different for each: changes their order"},
    {"webhook_copies", COUNT, AT(webhook_copies), "1", NULL, "how often each one is sent"},
    {"webhook_retries", COUNT, AT(webhook_retries), "0", NULL, "after an answer that is not 2xx"},
    {"webhook_retry_ms", MILLISECONDS, AT(webhook_retry_ms), "1000", NULL, "wait before a retry"},
};

enum { N_ROWS = sizeof(table) / sizeof(table[0]) };

static int parse_choice(const char *choices, const char *value, size_t len, int64_t *number)
{
    if (strcmp(choices, "no|yes") == 0) {
        if (strcmp(value, "1") == 0 || strcmp(value, "true") == 0)
            return *number = YES, 0;
        if (strcmp(value, "0") == 0 || strcmp(value, "false") == 0)
            return *number = NO, 0;
    }
    int64_t place = 0;
    for (const char *p = choices;; p++, place++) {
        size_t n = strcspn(p, "|");
        if (n == len && memcmp(p, value, n) == 0)
            return *number = place, 0;
        p += n;
        if (!*p)
            return -1;
    }
}

static int parse_number(const struct row *row, const char *value, int64_t *number)
{
    uint64_t bytes;
    switch (row->kind) {
    case CHOICE:
        return parse_choice(row->choices, value, strlen(value), number);
    case STATUS:
        return text_parse_int(value, 200, 599, number);
    case COUNT:
        return text_parse_int(value, 0, 1000000, number);
    case MILLISECONDS:
        return text_parse_int(value, 0, 1000000000000, number);
    case DURATION:
        return text_parse_duration(value, number);
    case SIZE:
        if (strcmp(value, "off") == 0)
            return *number = -1, 0;
        if (text_parse_size(value, &bytes) < 0)
            return -1;
        return *number = (int64_t)bytes, 0;
    case TEXT:
    case HEADER:
        break;
    }
    return -1;
}

static const char *expected(const struct row *row)
{
    switch (row->kind) {
    case CHOICE:
        return row->choices;
    case STATUS:
        return "200..599";
    case COUNT:
        return "0..1000000";
    case MILLISECONDS:
        return "milliseconds";
    case DURATION:
        return "a time such as 90s, 2h or 3d";
    case SIZE:
        return "off, or a size such as 512 or 1M";
    case TEXT:
    case HEADER:
        break;
    }
    return row->kind == HEADER ? "text without control characters" : "text in UTF-8";
}

static bool is_header_text(const char *s)
{
    while (*s && (unsigned char)*s >= 0x20 && *s != 0x7f)
        s++;
    return !*s;
}

static int set_row(struct switches *sw, const struct row *row, const char *value)
{
    char *member = (char *)sw + row->offset;
    if (row->kind == TEXT || row->kind == HEADER) {
        if (row->kind == HEADER && !is_header_text(value))
            return -1;
        if (!text_is_utf8(value, strlen(value)))
            return -1;
        memcpy(member, &value, sizeof(value));
        return 0;
    }
    int64_t number;
    if (parse_number(row, value, &number) < 0)
        return -1;
    memcpy(member, &number, sizeof(number));
    return 0;
}

void switches_default(struct switches *sw)
{
    for (size_t i = 0; i < N_ROWS; i++)
        CHECK(set_row(sw, &table[i], table[i].initial) == 0);
}

int switches_set(struct switches *sw, const char *assignment, struct err *err)
{
    const char *equals = strchr(assignment, '=');
    if (!equals)
        return err_set(err, ERR_USAGE, "--set %s: expected NAME=VALUE; --help lists the names",
                       assignment);
    size_t len = (size_t)(equals - assignment);
    for (size_t i = 0; i < N_ROWS; i++) {
        const struct row *row = &table[i];
        if (strlen(row->name) != len || memcmp(row->name, assignment, len) != 0)
            continue;
        if (set_row(sw, row, equals + 1) == 0)
            return 0;
        return err_set(err, ERR_USAGE, "--set %s: \"%s\" is not allowed; expected %s", row->name,
                       equals + 1, expected(row));
    }
    return err_set(err, ERR_USAGE, "--set %.*s: no such switch; --help lists them", (int)len,
                   assignment);
}

void switches_help(FILE *out)
{
    for (size_t i = 0; i < N_ROWS; i++) {
        const struct row *row = &table[i];
        fprintf(out, "  %s=%s\n      %s (%s)\n", row->name, *row->initial ? row->initial : "\"\"",
                row->help, expected(row));
    }
}
