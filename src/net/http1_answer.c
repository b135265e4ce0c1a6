/* SPDX-License-Identifier: Apache-2.0
 *
 * http1_answer: see http1_answer.h. Lines end with CRLF or LF (RFC 9112, 2.2); beyond that nothing
 * is forgiven that decides where an answer ends.
 */
#include "net/http1_answer.h"

#include <string.h>
#include <strings.h>

#include "core/text.h"

enum state {
    STATUS,
    FIELDS,
    BODY,
    CHUNK_SIZE,
    CHUNK_DATA,
    CHUNK_END,
    TRAILER,
    ENDED,
    FAILED,
};

void http1_answer_begin(struct http1_answer *a, bool is_head)
{
    *a = (struct http1_answer){.length = -1, .no_body = is_head, .line = BUF_INIT(HTTP1_HEAD_MAX)};
}

void http1_answer_release(struct http1_answer *a)
{
    buf_release(&a->line);
}

static enum http1_piece fail(struct http1_answer *a, const char *why)
{
    a->bad = why;
    a->state = FAILED;
    a->keep = false;
    return HTTP1_BAD;
}

/* The next line, without its end, into a->text. False: the bytes end first; they are kept. */
static bool next_line(struct http1_answer *a, struct http1_bytes *bytes)
{
    const char *end = memchr(bytes->data, '\n', bytes->len);
    size_t len = end ? (size_t)(end - bytes->data) : bytes->len;
    a->head_bytes += len + (end != NULL);
    bool whole = end && a->line.len == 0;
    if (whole)
        a->text = (struct http1_bytes){bytes->data, len};
    else if (buf_append(&a->line, bytes->data, len) == 0)
        a->text = (struct http1_bytes){a->line.data, a->line.len};
    bytes->data += len + (end != NULL);
    bytes->len -= len + (end != NULL);
    if (!end)
        return false;
    if (!whole)
        a->line.len = 0; /* its bytes stay until the next line is begun */
    if (a->text.len && a->text.data[a->text.len - 1] == '\r')
        a->text.len--;
    return true;
}

/* It is HTTP, and yet we do not take it. */
static enum http1_piece refuse(struct http1_answer *a, const char *why)
{
    a->refused = true;
    return fail(a, why);
}

/* ---- the head ---- */

static const char version[] = "HTTP/1.";
static const char not_http[] = "its first line is none of HTTP/1.1";

/* Who speaks something else may wait for us to speak, and never end a line. */
static bool may_be_status(const struct http1_answer *a)
{
    size_t len = a->line.len < sizeof(version) - 1 ? a->line.len : sizeof(version) - 1;
    return memcmp(a->line.data, version, len) == 0;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static enum http1_piece read_status(struct http1_answer *a)
{
    const char *s = a->text.data;
    size_t len = a->text.len;
    if (len < 12 || memcmp(s, version, 7) != 0 || !is_digit(s[7]) || s[8] != ' ' ||
        !is_digit(s[9]) || !is_digit(s[10]) || !is_digit(s[11]) || (len > 12 && s[12] != ' '))
        return fail(a, not_http);
    a->status = (s[9] - '0') * 100 + (s[10] - '0') * 10 + (s[11] - '0');
    a->keep = s[7] != '0';
    if (a->status < 100 || a->status == 101) /* nobody asked for another protocol */
        return fail(a, "its status is none that can come");
    a->length = -1;
    a->chunked = a->closes = false;
    a->state = FIELDS;
    return HTTP1_MORE;
}

static bool has_token(struct http1_bytes list, const char *token)
{
    size_t len = strlen(token);
    while (list.len) {
        while (list.len && strchr(" \t,", *list.data))
            list.data++, list.len--;
        size_t n = 0;
        while (n < list.len && list.data[n] != ',' && list.data[n] != ' ' && list.data[n] != '\t')
            n++;
        if (n == len && strncasecmp(list.data, token, len) == 0)
            return true;
        list.data += n;
        list.len -= n;
    }
    return false;
}

static bool read_length(struct http1_answer *a, struct http1_bytes value)
{
    int64_t n = 0;
    if (!value.len)
        return false;
    for (size_t i = 0; i < value.len; i++) {
        if (!is_digit(value.data[i]) || n > (INT64_MAX - 9) / 10)
            return false;
        n = n * 10 + (value.data[i] - '0');
    }
    a->length = n;
    return true;
}

static bool is_name(struct http1_bytes name, const char *wanted)
{
    return name.len == strlen(wanted) && strncasecmp(name.data, wanted, name.len) == 0;
}

/* RFC 9110, 5.6.2. Of a name that is not there (": x") nothing can be misread. */
static bool is_token(struct http1_bytes name)
{
    for (size_t i = 0; i < name.len; i++)
        if (name.data[i] <= ' ' || name.data[i] >= 0x7f ||
            strchr("\"(),/;<=>?@[\\]{}", name.data[i]))
            return false;
    return true;
}

/* What a field says of the answer's end and the connection. */
static enum http1_piece read_field(struct http1_answer *a)
{
    struct http1_bytes line = a->text;
    if (memchr(line.data, '\0', line.len) || memchr(line.data, '\r', line.len))
        return fail(a, "its head has a zero byte or a bare CR");
    const char *colon = memchr(line.data, ':', line.len);
    if (!colon || !is_token((struct http1_bytes){line.data, (size_t)(colon - line.data)}))
        return fail(a, "its head has a line that is no header field");
    struct http1_bytes name = {line.data, (size_t)(colon - line.data)};
    struct http1_bytes value = {colon + 1, line.len - name.len - 1};
    while (value.len && (*value.data == ' ' || *value.data == '\t'))
        value.data++, value.len--;
    while (value.len && (value.data[value.len - 1] == ' ' || value.data[value.len - 1] == '\t'))
        value.len--;
    if (is_name(name, "Content-Length")) {
        if (a->length >= 0 || memchr(value.data, ',', value.len))
            return refuse(a, "the answer has more than one length");
        if (!read_length(a, value))
            return fail(a, "its length is no number");
    } else if (is_name(name, "Transfer-Encoding")) {
        if (is_name(value, "identity")) /* once in the standard: as if it were not there */
            return HTTP1_MORE;
        if (a->chunked || !is_name(value, "chunked"))
            return fail(a, "its Transfer-Encoding is other than chunked");
        a->chunked = true;
    } else if (is_name(name, "Connection")) {
        a->closes |= has_token(value, "close");
        a->keep |= has_token(value, "keep-alive");
    }
    return a->status < 200 ? HTTP1_MORE : HTTP1_FIELD;
}

/* RFC 9112, 6.3: how long the body is. */
static enum http1_piece end_head(struct http1_answer *a)
{
    if (a->status < 200) { /* 100 Continue and the like: the real answer follows */
        a->state = STATUS;
        return HTTP1_MORE;
    }
    a->keep &= !a->closes;
    if (a->no_body || a->status == 204 || a->status == 304) {
        a->state = BODY;
        a->left = 0;
        /* Who announces a body where there is none may send it. */
        a->keep &= a->no_body || !(a->chunked || (a->status == 204 && a->length > 0));
    } else if (a->chunked) {
        /* Two words on one thing: somebody on the way may have read the other. */
        a->keep &= a->length < 0;
        a->length = -1;
        a->state = CHUNK_SIZE;
    } else {
        a->state = BODY;
        a->left = a->length;
        if (a->left < 0)
            a->keep = false;
    }
    return HTTP1_HEAD;
}

/* ---- the body ---- */

static int hex_digit(char c)
{
    return is_digit(c)            ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static enum http1_piece read_chunk_size(struct http1_answer *a)
{
    size_t i = 0;
    int64_t n = 0;
    for (; i < a->text.len && hex_digit(a->text.data[i]) >= 0; i++) {
        if (n > INT64_MAX >> 4)
            return fail(a, "a chunk's size is no number");
        n = n * 16 + hex_digit(a->text.data[i]);
    }
    if (i == 0 || (i < a->text.len && (!a->text.data[i] || !strchr("; \t", a->text.data[i]))))
        return fail(a, "a chunk's size is no number");
    a->left = n;
    a->head_bytes = 0; /* of each such line; the body may have any number of them */
    a->state = n ? CHUNK_DATA : TRAILER;
    return HTTP1_MORE;
}

static enum http1_piece read_line(struct http1_answer *a, struct http1_bytes *bytes)
{
    bool complete = next_line(a, bytes);
    if (a->head_bytes > HTTP1_HEAD_MAX)
        return refuse(a, "the answer's header is over 64 KiB");
    if (!complete)
        return a->state == STATUS && !may_be_status(a) ? fail(a, not_http) : HTTP1_MORE;
    switch (a->state) {
    case STATUS:
        return read_status(a);
    case FIELDS:
        return a->text.len ? read_field(a) : end_head(a);
    case CHUNK_SIZE:
        return read_chunk_size(a);
    case CHUNK_END:
        if (a->text.len)
            return fail(a, "a chunk is longer than its size");
        a->state = CHUNK_SIZE;
        return HTTP1_MORE;
    default: /* TRAILER */
        if (!a->text.len)
            a->state = ENDED;
        return HTTP1_MORE;
    }
}

enum http1_piece http1_answer_next(struct http1_answer *a, struct http1_bytes *bytes)
{
    for (;;) {
        if (a->state == FAILED)
            return HTTP1_BAD;
        if (a->state == BODY && a->left == 0)
            a->state = ENDED;
        if (a->state == CHUNK_DATA && a->left == 0)
            a->state = CHUNK_END;
        if (a->state == ENDED)
            return HTTP1_END;
        if (bytes->len == 0)
            return HTTP1_MORE;
        if (a->state == BODY || a->state == CHUNK_DATA) {
            a->text = *bytes;
            if (a->left >= 0 && (uint64_t)a->left < a->text.len)
                a->text.len = (size_t)a->left;
            return HTTP1_BODY;
        }
        enum http1_piece piece = read_line(a, bytes);
        if (piece != HTTP1_MORE)
            return piece;
    }
}

void http1_answer_took(struct http1_answer *a, struct http1_bytes *bytes, size_t n)
{
    CHECK(n <= a->text.len && n <= bytes->len);
    bytes->data += n;
    bytes->len -= n;
    if (a->left >= 0)
        a->left -= (int64_t)n;
}

uint64_t http1_answer_body_left(const struct http1_answer *a)
{
    bool in_body = a->state == BODY || a->state == CHUNK_DATA;
    return !in_body ? 0 : a->left < 0 ? UINT64_MAX : (uint64_t)a->left;
}

bool http1_answer_may_end(const struct http1_answer *a)
{
    return a->state == ENDED || (a->state == BODY && a->left <= 0);
}
