/* SPDX-License-Identifier: Apache-2.0 */
#include "transfer/key.h"

#include <string.h>
#include <strings.h>

#include "core/clock.h"
#include "core/text.h"

enum placeholder { JOB_ID, FILENAME, NAME, DATE, UNKNOWN };

static const char *const names[] = {"{job_id}", "{filename}", "{name}", "{date}"};

static enum placeholder placeholder_at(const char *s)
{
    for (int i = 0; i < UNKNOWN; i++)
        if (strncmp(s, names[i], strlen(names[i])) == 0)
            return (enum placeholder)i;
    return UNKNOWN;
}

/* C0, DEL and C1 (U+0080 to U+009F, in UTF-8). */
static bool is_control(const char *p)
{
    unsigned char c = (unsigned char)p[0];
    return c < 0x20 || c == 0x7f || (c == 0xc2 && (unsigned char)p[1] < 0xa0);
}

bool key_has_control(const char *key)
{
    for (; *key; key++)
        if (is_control(key))
            return true;
    return false;
}

bool key_is_reserved(const char *key)
{
    key += strspn(key, "/");
    return strncasecmp(key, KEY_RESERVED, strlen(KEY_RESERVED)) == 0;
}

static int check_braces(const char *template, struct err *err)
{
    for (const char *p = template; *(p += strcspn(p, "{}")); p++) {
        if (*p == '}')
            return err_set(err, ERR_USAGE,
                           "key template \"%.100s\": a '}' without its '{'; expected {job_id}, "
                           "{filename}, {name} or {date}",
                           template);
        size_t len = strcspn(p, "}");
        if (!p[len])
            return err_set(err, ERR_USAGE, "key template \"%.100s\": a '{' without its '}'",
                           template);
        if (placeholder_at(p) == UNKNOWN)
            return err_set(err, ERR_USAGE,
                           "key template \"%.100s\": unknown placeholder %.*s; expected {job_id}, "
                           "{filename}, {name} or {date}",
                           template, (int)len + 1, p);
        p += len;
    }
    return 0;
}

int key_template_check(const char *template, struct err *err)
{
    size_t len = strlen(template);
    if (len == 0)
        return err_set(err, ERR_USAGE,
                       "the key template is empty; expected, for example, {job_id}/{filename}");
    if (len > KEY_MAX)
        return err_set(err, ERR_USAGE, "the key template is %zu bytes long; a key has at most %d",
                       len, KEY_MAX);
    if (!text_is_utf8(template, len))
        return err_set(err, ERR_USAGE, "key template \"%.100s\": not UTF-8", template);
    if (key_has_control(template))
        return err_set(err, ERR_USAGE, "key template \"%.100s\": has a control character",
                       template);
    if (key_is_reserved(template))
        return err_set(err, ERR_USAGE,
                       "key template \"%.100s\": " KEY_RESERVED " is where receipts live; choose "
                       "another beginning",
                       template);
    return check_braces(template, err);
}

/* Length of the character at p when it may stand in a component of a path, else 0. */
static size_t allowed_len(const char *p, const char *end)
{
    size_t n = text_utf8_len(p, end);
    return is_control(p) || *p == '/' || *p == '\\' ? 0 : n;
}

/* Largest len <= max that does not cut a character of s (UTF-8). */
static size_t cut_at_character(const char *s, size_t max)
{
    while (max > 0 && ((unsigned char)s[max] & 0xc0) == 0x80)
        max--;
    return max;
}

/* Length without the dots and spaces at the end. */
static size_t trimmed_len(const char *s, size_t len)
{
    while (len && (s[len - 1] == '.' || s[len - 1] == ' '))
        len--;
    return len;
}

/* Appends s, which neither begins nor ends with a dot or a space, in at most KEY_COMPONENT_MAX
 * bytes. */
static void append_cut(struct buf *out, const char *s, size_t len)
{
    enum { EXTENSION_MAX = 32 };
    size_t extension = 0;
    for (size_t i = 1; i <= EXTENSION_MAX && i < len && !extension; i++)
        extension = s[len - i] == '.' ? i : 0;
    size_t stem = len - extension;
    if (len > KEY_COMPONENT_MAX)
        stem = trimmed_len(s, cut_at_character(s, KEY_COMPONENT_MAX - extension));
    buf_append(out, s, stem);
    buf_append(out, s + len - extension, extension);
}

/* Appends text as one component; each character that may not stand there becomes `instead`, or
 * nothing when that is NUL. */
static void append_component(struct buf *out, const char *text, char instead, const char *fallback)
{
    const char *end = text + strlen(text);
    struct buf clean = BUF_INIT((size_t)(end - text));
    while (text < end) {
        size_t n = allowed_len(text, end);
        if (n)
            buf_append(&clean, text, n);
        else if (instead)
            buf_byte(&clean, instead);
        text += n ? n : 1;
    }
    const char *s = buf_str(&clean);
    size_t skip = strspn(s, ". ");
    size_t len = trimmed_len(s + skip, clean.len - skip);
    if (len)
        append_cut(out, s + skip, len);
    else
        buf_str_append(out, fallback);
    buf_release(&clean);
}

void key_safe_filename(const char *name, struct buf *out)
{
    const char *last = name;
    for (const char *p = name; *p; p++)
        if (*p == '/' || *p == '\\')
            last = p + 1;
    append_component(out, last, '\0', "output");
}

static void append_placeholder(struct buf *out, enum placeholder which,
                               const struct source_job *job, size_t index)
{
    char day[DATE_TEXT_SIZE] = "undated";
    switch (which) {
    case JOB_ID:
        buf_str_append(out, job->id);
        break;
    case FILENAME:
        key_safe_filename(job->outputs[index].name, out);
        break;
    case NAME:
        append_component(out, job->name, '_', "unnamed");
        break;
    case DATE:
        if (job->completed_ms)
            date_format_day(job->completed_ms, day);
        buf_str_append(out, day);
        break;
    case UNKNOWN:
        break;
    }
}

int key_expand(const char *template, const struct source_job *job, size_t index, struct buf *out,
               struct err *err)
{
    CHECK(index < job->n_outputs);
    /* Room for any expansion: each placeholder is longer than five bytes. */
    struct buf key = BUF_INIT(KEY_MAX * KEY_COMPONENT_MAX);
    while (*template) {
        size_t literal = strcspn(template, "{");
        buf_append(&key, template, literal);
        template += literal;
        if (*template) {
            enum placeholder which = placeholder_at(template);
            CHECK(which != UNKNOWN);
            append_placeholder(&key, which, job, index);
            template += strlen(names[which]);
        }
    }
    int rc = 0;
    if (key.len > KEY_MAX)
        rc = err_set(err, ERR_INPUT,
                     "job %s: its key would be %zu bytes long; a key has at most %d: use a shorter "
                     "--key",
                     job->id, key.len, KEY_MAX);
    else if (key_is_reserved(buf_str(&key)))
        rc = err_set(err, ERR_INPUT,
                     "job %s: its key would be \"%s\", where receipts live; use another --key",
                     job->id, buf_str(&key));
    else if (buf_append(out, buf_str(&key), key.len) < 0)
        rc = err_set(err, ERR_INPUT, "job %s: its key is too long (%zu bytes); use a shorter --key",
                     job->id, key.len);
    buf_release(&key);
    return rc;
}

/* ---- the other way round ---- */

static bool can_hold(enum placeholder what, unsigned char c)
{
    bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (what == JOB_ID)
        return alnum || c == '-' || c == '_';
    if (what == DATE)
        return alnum || c == '-';
    return c != '/' && c >= 0x20;
}

/* All positions of the key that the template's beginning can end at, token after token: no
 * backtracking, whatever the template. */
bool key_matches(const char *template, const char *key)
{
    size_t len = strlen(key);
    if (len == 0 || len > KEY_MAX)
        return false;
    bool at[KEY_MAX + 1] = {true}, next[KEY_MAX + 1];
    for (const char *t = template; *t;) {
        enum placeholder what = *t == '{' ? placeholder_at(t) : UNKNOWN;
        memset(next, 0, sizeof(next));
        for (size_t i = 0; i < len; i++) {
            if (what == UNKNOWN)
                next[i + 1] = at[i] && key[i] == *t;
            else
                next[i + 1] = (at[i] || next[i]) && can_hold(what, (unsigned char)key[i]);
        }
        memcpy(at, next, sizeof(at));
        t += what == UNKNOWN ? 1 : strlen(names[what]);
    }
    return at[len];
}
