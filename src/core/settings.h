/* SPDX-License-Identifier: Apache-2.0
 *
 * settings: the one table of everything that can be set, which drives flags, environment, defaults
 * and help texts. A command names the settings it takes; no other flag is accepted. None of them
 * holds a secret: secrets come from files and from variables that are not settings.
 *
 * A value comes from the flag (the last one given), else the first of its environment variables
 * that is set and not empty, else the default. Read-only after settings_parse(); any thread then.
 *
 *     static const enum setting accepted[] = {SET_TO, SET_MEMORY};
 *     struct settings s;
 *     if (settings_parse(&s, accepted, 2, argc - 2, argv + 2, &n_operands, &err) < 0)
 *         log_error("%s", err.msg);              "--memory 3: expected a size from 16MiB to ..."
 *     int64_t memory = settings_number(&s, SET_MEMORY);
 */
#ifndef EGRESS_CORE_SETTINGS_H
#define EGRESS_CORE_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "core/err.h"

/* X(id, flag, kind, argument, environment (comma-separated), default, choices or range, help)
 * kind: TEXT, SIZE (bytes), DURATION (ms), INT, FLAG (no argument), CHOICE.
 * choices: "a|b|c" for CHOICE; "min..max" for INT, SIZE, DURATION, in the flag's own notation. */
#define SETTINGS(X)                                                                                \
    X(SET_TO, "to", TEXT, "DEST", "EGRESS_TO", NULL, NULL,                                         \
      "where outputs are stored: s3://BUCKET[/PREFIX], file:///DIR or a directory")                \
    X(SET_KEY, "key", TEXT, "TEMPLATE", "EGRESS_KEY", "{job_id}/{filename}", NULL,                 \
      "key of each object: {job_id} {filename} {name} {date} (the job's completion date)")         \
    X(SET_FORCE, "force", FLAG, NULL, NULL, NULL, NULL, "store again what is stored already")      \
    X(SET_JSON, "json", FLAG, NULL, NULL, NULL, NULL, "print JSON, one object a line")             \
    X(SET_CONCURRENCY, "concurrency", INT, "N", "EGRESS_CONCURRENCY", "16", "1..512",              \
      "jobs at a time")                                                                            \
    X(SET_MEMORY, "memory", SIZE, "SIZE", "EGRESS_MEMORY", "64MiB", "16MiB..1TiB",                 \
      "memory for data on its way")                                                                \
    X(SET_RANGES, "ranges", INT, "N", "EGRESS_RANGES", "1", "1..64",                               \
      "parts of one large output fetched at a time, as far as --memory allows")                    \
    X(SET_SOURCE, "source", CHOICE, "ROUTE", "EGRESS_SOURCE", "auto", "auto|output|output-url",    \
      "route by which the bytes come; auto: /output, the signed URL to go on after a break")       \
    X(SET_CHECKSUM, "checksum", CHOICE, "KIND", "EGRESS_CHECKSUM", "crc32c", "crc32c|none",        \
      "checksum sent to the store")                                                                \
    X(SET_PART_LAYOUT, "part-layout", CHOICE, "LAYOUT", "EGRESS_PART_LAYOUT", "auto",              \
      "auto|uniform", "uniform: all parts but the last of one size, as Cloudflare R2 wants them")  \
    X(SET_MAX_PARTS, "max-parts", INT, "N", "EGRESS_MAX_PARTS", "10000", "1..10000",               \
      "parts that the store takes for one object")                                                 \
    X(SET_CONDITIONAL_WRITES, "conditional-writes", CHOICE, "on|off", "EGRESS_CONDITIONAL_WRITES", \
      "on", "on|off", "let the store see to it that no object is overwritten; off: look before")   \
    X(SET_RECEIPTS, "receipts", CHOICE, "on|off", "EGRESS_RECEIPTS", "on", "on|off",               \
      "keep a receipt beside the objects (.egress/); off: ask for the object instead")             \
    X(SET_QUICK, "quick", FLAG, NULL, NULL, NULL, NULL,                                            \
      "compare sizes and the store's own checksums, without reading the objects")                  \
    X(SET_OLDER_THAN, "older-than", DURATION, "TIME", NULL, "7d", "0s..3650d",                     \
      "leave alone what was begun later than so long ago")                                         \
    X(SET_DRY_RUN, "dry-run", FLAG, NULL, NULL, NULL, NULL,                                        \
      "say what would be done, and do it not")                                                     \
    X(SET_SINCE, "since", TEXT, "TIME", NULL, NULL, NULL,                                          \
      "leave out jobs that completed before: a date (2020-01-20, 2020-01-20T15:00:00Z), or so "    \
      "long ago (12h, 3d)")                                                                        \
    X(SET_EXTEND_TTL, "extend-ttl", INT, "DAYS", NULL, NULL, "1..365",                             \
      "keep outputs for so many days from now that would expire sooner and are not stored yet")    \
    X(SET_THOROUGH, "thorough", FLAG, NULL, NULL, NULL, NULL,                                      \
      "also try what takes longer: a multipart upload of 12 MiB")                                  \
    X(SET_QUEUE, "queue", TEXT, "URL", "EGRESS_QUEUE", NULL, NULL, "URL of an SQS queue of jobs")  \
    X(SET_VISIBILITY, "visibility-timeout", DURATION, "TIME", "EGRESS_VISIBILITY_TIMEOUT", "5m",   \
      "1s..12h", "how long a message stays hidden after its worker was last heard of")             \
    X(SET_DRAIN, "drain-timeout", DURATION, "TIME", "EGRESS_DRAIN_TIMEOUT", "25s", "0s..1h",       \
      "how long transfers may go on once the worker is told to end")                               \
    X(SET_UNTIL_EMPTY, "until-empty", FLAG, NULL, NULL, NULL, NULL,                                \
      "end when the queue has no more messages to give")                                           \
    X(SET_LISTEN, "listen", TEXT, "ADDRESS", "EGRESS_LISTEN", "127.0.0.1:8080", NULL,              \
      "where webhooks come in: HOST:PORT, :PORT (every address) or unix:PATH")                     \
    X(SET_ADMIN, "admin", TEXT, "ADDRESS", "EGRESS_ADMIN", "127.0.0.1:8081", NULL,                 \
      "where the page and /metrics are; off: nowhere")                                             \
    X(SET_ADMIN_TOKEN_FILE, "admin-token-file", TEXT, "FILE", "EGRESS_ADMIN_TOKEN_FILE", NULL,     \
      NULL, "token that --admin asks for; needed where others than this machine reach it")         \
    X(SET_WEBHOOK_SECRETS, "webhook-secrets", TEXT, "FILE", "EGRESS_WEBHOOK_SECRETS", NULL, NULL,  \
      "what webhooks must prove to know; without it whoever reaches --listen may send some")       \
    X(SET_JOURNAL, "journal", TEXT, "FILE", "EGRESS_JOURNAL", NULL, NULL,                          \
      "the embedded queue (else egress.journal in $STATE_DIRECTORY, $XDG_STATE_HOME/egress or "    \
      "~/.local/state/egress)")                                                                    \
    X(SET_KEEP, "keep", DURATION, "TIME", "EGRESS_KEEP", "30d", "1s..3650d",                       \
      "how long the journal remembers jobs that have ended")                                       \
    X(SET_KEEP_JOBS, "keep-jobs", INT, "N", "EGRESS_KEEP_JOBS", "1000000", "0..1000000000",        \
      "how many of them at most")                                                                  \
    X(SET_QUEUE_MAX, "queue-max", INT, "N", "EGRESS_QUEUE_MAX", "10000000", "1..1000000000",       \
      "unfinished jobs that the journal takes; webhooks beyond get 503")                           \
    X(SET_MAX_ATTEMPTS, "max-attempts", INT, "N", "EGRESS_MAX_ATTEMPTS", "16", "1..1000",          \
      "tries of a job before it is given up")                                                      \
    X(SET_SYNC_EVERY, "sync-every", DURATION, "TIME", "EGRESS_SYNC_EVERY", "1h", "0s..30d",        \
      "how often to look for what webhooks missed; 0: never")                                      \
    X(SET_MAX_CONNECTIONS, "max-connections", INT, "N", "EGRESS_MAX_CONNECTIONS", "1024",          \
      "1..100000", "connections of webhooks' senders at a time")                                   \
    X(SET_RATE_LIMIT, "rate-limit", INT, "N", "EGRESS_RATE_LIMIT", "100", "0..1000000",            \
      "webhooks a second from one address (not from this machine's own); 0: any number")           \
    X(SET_NEAR_EXPIRY, "near-expiry", DURATION, "TIME", "EGRESS_NEAR_EXPIRY", "12h", "1s..365d",   \
      "outputs that expire within it are shown as near")                                           \
    X(SET_WATCH, "watch", FLAG, NULL, NULL, NULL, NULL, "go on showing it, every two seconds")     \
    X(SET_DEAD, "dead", FLAG, NULL, NULL, NULL, NULL, "all jobs that were given up")               \
    X(SET_TOKEN_FILE, "token-file", TEXT, "FILE", NULL, NULL, NULL,                                \
      "the Platform's API token (else VOXEL51_API_PRIVATE_KEY, VOXEL51_API_TOKEN, "                \
      "~/.voxel51/api-token.json)")                                                                \
    X(SET_ENDPOINT_URL, "endpoint-url", TEXT, "URL", "AWS_ENDPOINT_URL_S3,AWS_ENDPOINT_URL", NULL, \
      NULL, "an S3-compatible store instead of AWS")                                               \
    X(SET_REGION, "region", TEXT, "REGION", "AWS_REGION,AWS_DEFAULT_REGION", NULL, NULL,           \
      "the bucket's region (else the profile's, else us-east-1)")                                  \
    X(SET_PROFILE, "profile", TEXT, "NAME", NULL, NULL, NULL,                                      \
      "profile in the shared AWS files (else AWS_PROFILE, else default)")                          \
    X(SET_ADDRESSING, "addressing-style", CHOICE, "STYLE", "EGRESS_ADDRESSING_STYLE", "auto",      \
      "auto|path|virtual", "bucket in the path or in the host name; auto: virtual on AWS")         \
    X(SET_UNSIGNED_PAYLOAD, "unsigned-payload", FLAG, NULL, NULL, NULL, NULL,                      \
      "do not sign bodies over http either")                                                       \
    X(SET_SSE, "sse", CHOICE, "KIND", "EGRESS_SSE", NULL, "AES256|aws:kms",                        \
      "server-side encryption to ask for")                                                         \
    X(SET_SSE_KMS_KEY, "sse-kms-key-id", TEXT, "KEY", "EGRESS_SSE_KMS_KEY_ID", NULL, NULL,         \
      "KMS key for --sse aws:kms")                                                                 \
    X(SET_STORAGE_CLASS, "storage-class", TEXT, "CLASS", "EGRESS_STORAGE_CLASS", NULL, NULL,       \
      "storage class of the objects")                                                              \
    X(SET_CA_BUNDLE, "ca-bundle", TEXT, "FILE", "AWS_CA_BUNDLE", NULL, NULL,                       \
      "certificate authorities to trust instead of the system's")                                  \
    X(SET_CONNECT_TIMEOUT, "connect-timeout", DURATION, "TIME", "EGRESS_CONNECT_TIMEOUT", "10s",   \
      "1ms..1h", "longest wait for a connection")                                                  \
    X(SET_READ_TIMEOUT, "read-timeout", DURATION, "TIME", "EGRESS_READ_TIMEOUT", "60s", "1ms..1h", \
      "longest wait without a byte in either direction")                                           \
    X(SET_LOG_LEVEL, "log-level", CHOICE, "LEVEL", "EGRESS_LOG_LEVEL", "info",                     \
      "error|warn|info|debug", "how much is logged")                                               \
    X(SET_LOG_FORMAT, "log-format", CHOICE, "FORMAT", "EGRESS_LOG_FORMAT", "auto",                 \
      "auto|human|json", "auto: human on a terminal, JSON lines otherwise")

enum setting {
#define SETTING_ENUM(id, ...) id,
    SETTINGS(SETTING_ENUM)
#undef SETTING_ENUM
        SETTINGS_COUNT
};

struct settings {
    const char *values[SETTINGS_COUNT]; /* borrowed from argv or environ, or a literal; or NULL */
    bool given[SETTINGS_COUNT];         /* by flag */
    int64_t numbers[SETTINGS_COUNT];    /* of SIZE, DURATION, INT; 1 of a FLAG that is on */
};

/* Reads argv[0..argc) (without the command's name): flags of the settings in `accepted` (n of
 * them), as --name VALUE or --name=VALUE, up to "--"; the rest are operands, left in
 * argv[0..*n_operands) in their order ("-" is one). Then the environment and the defaults.
 * -1 (ERR_USAGE) names the first flag or variable that is wrong, what was given and what was
 * expected; *s then holds what was right, and defaults for the rest. What is not in `accepted` has
 * no value. */
int settings_parse(struct settings *s, const enum setting *accepted, size_t n, int argc,
                   char **argv, int *n_operands, struct err *err);

const char *settings_text(const struct settings *s, enum setting id); /* or NULL */
int64_t settings_number(const struct settings *s, enum setting id);
bool settings_is(const struct settings *s, enum setting id, const char *value);
bool settings_on(const struct settings *s, enum setting id); /* FLAG, or CHOICE "on" */

/* Where the value comes from: "--region", "AWS_REGION", "the default"; NULL when there is none.
 * `out` is returned, or a literal. */
enum { SETTINGS_ORIGIN_SIZE = 80 };
const char *settings_origin(const struct settings *s, enum setting id,
                            char out[SETTINGS_ORIGIN_SIZE]);

/* Prints a paragraph of help for each of these settings, in lines shorter than `width` columns (but
 * not for less than 57). */
void settings_help(const enum setting *accepted, size_t n, unsigned width, FILE *out);

/* Name of the flag without dashes, for messages, documentation and tests. */
const char *settings_flag(enum setting id);

#endif
