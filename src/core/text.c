/* SPDX-License-Identifier: Apache-2.0 */
#include "core/text.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

size_t text_utf8_len(const char *s, const char *end)
{
    const unsigned char *p = (const unsigned char *)s;
    size_t left = (size_t)(end - s);
    if (p[0] < 0x80)
        return 1;
    size_t n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (p[0] < 0xc2 || p[0] > 0xf4 || left < n)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    /* overlong forms, surrogates, above U+10FFFF */
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
        (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return n;
}

bool text_is_utf8(const char *s, size_t len)
{
    const char *end = s + len;
    while (s < end) {
        size_t n = text_utf8_len(s, end);
        if (n == 0)
            return false;
        s += n;
    }
    return true;
}

/* C0, DEL and C1: what moves a terminal's cursor or ends a line. */
static bool is_control(const char *s, size_t n)
{
    unsigned char c = (unsigned char)s[0];
    if (n == 2 && c == 0xc2)
        return (unsigned char)s[1] < 0xa0;
    return c < 0x20 || c == 0x7f;
}

/* How many characters of ASCII come first that stand for themselves, in JSON too: nearly all, in
 * most texts. */
static size_t plain_len(const char *s)
{
    size_t n = 0;
    while (s[n] >= 0x20 && s[n] < 0x7f && s[n] != '"' && s[n] != '\\')
        n++;
    return n;
}

void text_make_printable(char *s)
{
    const char *end = s + strlen(s);
    s += plain_len(s);
    char *out = s;
    while (s < end) {
        size_t n = text_utf8_len(s, end);
        if (n == 0 || is_control(s, n)) {
            *out++ = '?';
            s += n ? n : 1;
        } else {
            memmove(out, s, n);
            out += n;
            s += n;
        }
    }
    *out = '\0';
}

void text_json_quote(struct buf *b, const char *s)
{
    const char *end = s + strlen(s);
    buf_byte(b, '"');
    while (s < end) {
        size_t plain = plain_len(s);
        if (plain) {
            buf_append(b, s, plain);
            s += plain;
            continue;
        }
        size_t n = text_utf8_len(s, end);
        if (n == 0) {
            buf_str_append(b, "\\ufffd");
            s++;
        } else if (*s == '"' || *s == '\\') {
            buf_printf(b, "\\%c", *s++);
        } else if ((unsigned char)*s < 0x20 || *s == 0x7f) {
            buf_printf(b, "\\u%04x", (unsigned)*s++);
        } else {
            buf_append(b, s, n);
            s += n;
        }
    }
    buf_byte(b, '"');
}

/* Decimal digits with at most one point; NAN when s does not begin so ("0x10" and "1e9" do not). */
static double leading_number(const char *s, char **end)
{
    double n = strtod(s, end);
    bool plain = *s >= '0' && *s <= '9' && strspn(s, "0123456789.") == (size_t)(*end - s);
    return plain ? n : (double)NAN;
}

int text_parse_size(const char *s, uint64_t *bytes)
{
    static const char units[] = "KMGTP";
    char *end;
    double n = leading_number(s, &end);
    double factor = 1;
    if (*end) {
        const char *unit = strchr(units, *end >= 'a' ? *end - 'a' + 'A' : *end);
        if (unit && *unit) {
            factor = ldexp(1, 10 * (int)(unit - units + 1));
            end++;
            if (strcasecmp(end, "") != 0 && strcasecmp(end, "b") != 0 && strcasecmp(end, "ib") != 0)
                return -1;
        } else if (strcasecmp(end, "b") != 0) {
            return -1;
        }
    }
    n *= factor;
    /* 2^53: beyond it a double no longer counts bytes; also catches inf. */
    if (!(n <= 9007199254740992.0))
        return -1;
    *bytes = (uint64_t)n;
    return 0;
}

int text_parse_duration(const char *s, int64_t *ms)
{
    char *end;
    double n = leading_number(s, &end);
    double unit = 1000;
    if (strcmp(end, "ms") == 0)
        unit = 1;
    else if (strcmp(end, "m") == 0)
        unit = 60e3;
    else if (strcmp(end, "h") == 0)
        unit = 3600e3;
    else if (strcmp(end, "d") == 0)
        unit = 86400e3;
    else if (*end && strcmp(end, "s") != 0)
        return -1;
    n *= unit;
    if (!(n <= 1e15))
        return -1;
    *ms = (int64_t)n;
    return 0;
}

const char *text_format_size(uint64_t bytes, char out[TEXT_SIZE_MAX])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double n = (double)bytes;
    size_t unit = 0;
    while (n >= 1023.95 && unit + 1 < sizeof(units) / sizeof(units[0])) {
        n /= 1024;
        unit++;
    }
    snprintf(out, TEXT_SIZE_MAX, unit == 0 ? "%.0f %s" : "%.1f %s", n, units[unit]);
    return out;
}

int text_parse_int(const char *s, int64_t min, int64_t max, int64_t *value)
{
    if (!(*s >= '0' && *s <= '9') && !(*s == '-' && s[1] >= '0' && s[1] <= '9'))
        return -1;
    errno = 0;
    char *end;
    long long n = strtoll(s, &end, 10);
    if (errno || *end || n < min || n > max)
        return -1;
    *value = n;
    return 0;
}

void text_hex(const unsigned char *data, size_t len, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < len; i++) {
        out[2 * i] = digits[data[i] >> 4];
        out[2 * i + 1] = digits[data[i] & 15];
    }
    out[2 * len] = '\0';
}

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void text_base64(const unsigned char *data, size_t len, char *out)
{
    size_t o = 0;
    for (size_t i = 0; i < len; i += 3) {
        size_t n = len - i < 3 ? len - i : 3;
        unsigned v = (unsigned)data[i] << 16;
        v |= n > 1 ? (unsigned)data[i + 1] << 8 : 0;
        v |= n > 2 ? data[i + 2] : 0;
        out[o++] = base64_digits[v >> 18];
        out[o++] = base64_digits[v >> 12 & 63];
        out[o++] = n > 1 ? base64_digits[v >> 6 & 63] : '=';
        out[o++] = n > 2 ? base64_digits[v & 63] : '=';
    }
    out[o] = '\0';
}

int text_unbase64(const char *s, size_t len, unsigned char *out)
{
    if (len % 4)
        return -1;
    int o = 0;
    for (size_t i = 0; i < len; i += 4) {
        size_t pad = 0;
        if (i + 4 == len)
            pad = s[i + 3] != '=' ? 0 : s[i + 2] != '=' ? 1 : 2;
        unsigned v = 0;
        for (size_t k = 0; k < 4; k++) {
            const char *digit = k >= 4 - pad ? base64_digits
                                : s[i + k]   ? strchr(base64_digits, s[i + k])
                                             : NULL;
            if (!digit)
                return -1;
            v = v << 6 | (unsigned)(digit - base64_digits);
        }
        if (v & ((1u << 8 * pad) - 1)) /* bits that the padding says are not there */
            return -1;
        out[o++] = (unsigned char)(v >> 16);
        if (pad < 2)
            out[o++] = (unsigned char)(v >> 8);
        if (pad < 1)
            out[o++] = (unsigned char)v;
    }
    return o;
}
