/* SPDX-License-Identifier: Apache-2.0
 *
 * log: one line per event on stderr, for a person (terminal) or a machine (JSON lines).
 *
 * Fields are data of ours (job id, bytes, outcome); text from outside is made printable. Secrets
 * are never passed in. Any thread.
 *
 *     log_event(LOG_INFO, LOG_FIELDS(LOG_TEXT("job", id), LOG_NUM("bytes", n)), "stored %s", key);
 */
#ifndef EGRESS_CORE_LOG_H
#define EGRESS_CORE_LOG_H

#include <stdint.h>
#include <stdio.h>

#include "core/err.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };
enum log_format { LOG_AUTO, LOG_HUMAN, LOG_JSON };

struct log_field {
    const char *key; /* NULL ends the list */
    const char *text;
    int64_t number;
};

#define LOG_TEXT(key, text)                                                                        \
    {                                                                                              \
        (key), (text), 0                                                                           \
    }
#define LOG_NUM(key, number)                                                                       \
    {                                                                                              \
        (key), NULL, (int64_t)(number)                                                             \
    }
#define LOG_FIELDS(...) ((const struct log_field[]){__VA_ARGS__, {NULL, NULL, 0}})

/* Before any thread is started. LOG_AUTO: human when `out` is a terminal, JSON otherwise. */
void log_init(FILE *out, enum log_level level, enum log_format format);

/* Fields that every JSON line has from now on, behind its own; borrowed until replaced. NULL: none.
 * One thread's business at a time. */
void log_set_common(const struct log_field *fields);

/* From now on this text is *** wherever it would stand in a line. Copied. NULL or "": none. It has
 * nothing that JSON would escape. Before any thread is started, or with none other that logs. */
void log_redact(const char *secret);

/* Called before and after each line is written, so that a progress display can step aside.
 * NULLs to remove. */
void log_set_hooks(void (*before)(void *arg), void (*after)(void *arg), void *arg);

int log_level_parse(const char *s, enum log_level *level);
int log_format_parse(const char *s, enum log_format *format);

bool log_enabled(enum log_level level);
void log_event(enum log_level level, const struct log_field *fields, const char *fmt, ...)
    PRINTF_LIKE(3, 4);

#define log_error(...) log_event(LOG_ERROR, NULL, __VA_ARGS__)
#define log_warn(...)  log_event(LOG_WARN, NULL, __VA_ARGS__)
#define log_info(...)  log_event(LOG_INFO, NULL, __VA_ARGS__)
#define log_debug(...) (log_enabled(LOG_DEBUG) ? log_event(LOG_DEBUG, NULL, __VA_ARGS__) : (void)0)

#endif
