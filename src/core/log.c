/* SPDX-License-Identifier: Apache-2.0 */
#include "core/log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/clock.h"
#include "core/mem.h"
#include "core/text.h"

enum { LINE_MAX_BYTES = 8 * 1024 };

static struct {
    FILE *out;
    enum log_level level;
    bool json;
    void (*before)(void *arg);
    void (*after)(void *arg);
    void *hook_arg;
    const struct log_field *common; /* borrowed; or NULL */
    char *secret;                   /* owned; or NULL */
} logger = {.level = LOG_INFO};

static const char *const level_names[] = {"error", "warn", "info", "debug"};

void log_init(FILE *out, enum log_level level, enum log_format format)
{
    logger.out = out;
    logger.level = level;
    logger.json = format == LOG_JSON || (format == LOG_AUTO && !isatty(fileno(out)));
}

void log_set_hooks(void (*before)(void *arg), void (*after)(void *arg), void *arg)
{
    logger.before = before;
    logger.after = after;
    logger.hook_arg = arg;
}

void log_set_common(const struct log_field *fields)
{
    logger.common = fields;
}

void log_redact(const char *secret)
{
    free(logger.secret);
    logger.secret = secret && *secret ? xstrdup(secret) : NULL;
}

int log_level_parse(const char *s, enum log_level *level)
{
    for (size_t i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++) {
        if (strcmp(s, level_names[i]) == 0) {
            *level = (enum log_level)i;
            return 0;
        }
    }
    return -1;
}

int log_format_parse(const char *s, enum log_format *format)
{
    static const char *const names[] = {"auto", "human", "json"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(s, names[i]) == 0) {
            *format = (enum log_format)i;
            return 0;
        }
    }
    return -1;
}

bool log_enabled(enum log_level level)
{
    return level <= logger.level;
}

static void format_human(struct buf *line, enum log_level level, const char *msg)
{
    /* Fields are for machines: the message alone says what a person needs. */
    if (level == LOG_INFO)
        buf_printf(line, "egress: %s\n", msg);
    else
        buf_printf(line, "egress: %s: %s\n", level == LOG_WARN ? "warning" : level_names[level],
                   msg);
}

/* A field that does not fit is left out whole: the line stays JSON. */
static void add_field(struct buf *line, const struct log_field *f)
{
    struct buf field = BUF_INIT(LINE_MAX_BYTES);
    buf_byte(&field, ',');
    text_json_quote(&field, f->key);
    buf_byte(&field, ':');
    if (f->text)
        text_json_quote(&field, f->text);
    else
        buf_printf(&field, "%lld", (long long)f->number);
    if (!buf_overflowed(&field) && line->len + field.len + strlen("}\n") <= line->cap)
        buf_append(line, field.data, field.len);
    buf_release(&field);
}

static void format_json(struct buf *line, enum log_level level, const struct log_field *fields,
                        const char *msg)
{
    char when[DATE_TEXT_SIZE];
    date_format_iso8601(clock_wall_ms(), when);
    buf_printf(line, "{\"time\":\"%s\",\"level\":\"%s\",\"msg\":", when, level_names[level]);
    text_json_quote(line, msg);
    for (const struct log_field *f = fields; f && f->key; f++)
        add_field(line, f);
    for (const struct log_field *f = logger.common; f && f->key; f++)
        add_field(line, f);
    buf_str_append(line, "}\n");
}

static void redact(char *line)
{
    size_t len = strlen(logger.secret), stars = len < 3 ? len : 3;
    for (char *at = line; (at = strstr(at, logger.secret)); at += stars) {
        memcpy(at, "***", stars);
        memmove(at + stars, at + len, strlen(at + len) + 1);
    }
}

void log_event(enum log_level level, const struct log_field *fields, const char *fmt, ...)
{
    if (!log_enabled(level))
        return;
    char msg[2048];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(msg, sizeof(msg), fmt, ap);
    va_end(ap);

    text_make_printable(msg); /* also bounds what quoting adds: the line holds any msg */
    struct buf line = BUF_INIT(LINE_MAX_BYTES);
    if (logger.json)
        format_json(&line, level, fields, msg);
    else
        format_human(&line, level, msg);
    if (logger.secret && line.data) {
        redact(line.data);
        line.len = strlen(line.data);
    }
    FILE *out = logger.out ? logger.out : stderr;
    if (logger.before)
        logger.before(logger.hook_arg);
    /* One fwrite: lines of several threads do not mix. */
    fwrite(buf_str(&line), 1, line.len, out);
    fflush(out);
    if (logger.after)
        logger.after(logger.hook_arg);
    buf_release(&line);
}
