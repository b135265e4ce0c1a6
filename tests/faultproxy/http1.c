/* SPDX-License-Identifier: Apache-2.0
 *
 * Heads and bodies. The peers are programs under test: what does not parse ends the connection.
 */
#include "http1.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "core/text.h"

enum { CHUNK_SIZE, CHUNK_EXTENSION, CHUNK_DATA, CHUNK_DATA_END, CHUNK_TRAILER };

size_t head_length(const char *text, size_t len)
{
    for (size_t i = 3; i < len; i++)
        if (text[i] == '\n' && memcmp(text + i - 3, "\r\n\r", 3) == 0)
            return i + 1;
    return 0;
}

static void parse_header(const char *line, struct head *head)
{
    const char *value = strchr(line, ':');
    if (!value)
        return;
    size_t name_len = (size_t)(value - line);
    value += 1 + strspn(value + 1, " \t");
    if (name_len == 14 && strncasecmp(line, "Content-Length", name_len) == 0) {
        if (text_parse_int(value, 0, INT64_MAX, &head->content_length) < 0)
            head->content_length = -1;
    } else if (name_len == 17 && strncasecmp(line, "Transfer-Encoding", name_len) == 0)
        head->chunked = strcasecmp(value, "chunked") == 0;
    else if (name_len == 10 && strncasecmp(line, "Connection", name_len) == 0)
        head->close = strcasecmp(value, "close") == 0;
    else if (name_len == 6 && strncasecmp(line, "Expect", name_len) == 0)
        head->expects_continue = strcasecmp(value, "100-continue") == 0;
}

static int parse_start(const char *line, struct head *head)
{
    int64_t status;
    if (strncmp(line, "HTTP/1.1 ", 9) == 0 || strncmp(line, "HTTP/1.0 ", 9) == 0) {
        char digits[4];
        snprintf(digits, sizeof(digits), "%.3s", line + 9);
        if (text_parse_int(digits, 100, 599, &status) < 0)
            return -1;
        head->status = (int)status;
        head->close = line[7] == '0';
        return 0;
    }
    const char *target = strchr(line, ' ');
    const char *version = target ? strchr(target + 1, ' ') : NULL;
    if (!version || strcmp(version, " HTTP/1.1") != 0)
        return -1;
    snprintf(head->method, sizeof(head->method), "%.*s", (int)(target - line), line);
    int len = (int)(version - target - 1);
    const char *mark = memchr(target + 1, '?', (size_t)len);
    int path_len = mark ? (int)(mark - target - 1) : len;
    snprintf(head->path, sizeof(head->path), "%.*s", path_len, target + 1);
    if (mark)
        snprintf(head->query, sizeof(head->query), "%.*s", len - path_len - 1, mark + 1);
    return 0;
}

int head_parse(const char *text, size_t len, struct head *head)
{
    *head = (struct head){.content_length = -1};
    char line[HEAD_MAX_BYTES];
    bool first = true;
    for (const char *at = text; at < text + len;) {
        const char *end = memchr(at, '\n', (size_t)(text + len - at));
        if (!end || end == at || end[-1] != '\r')
            return -1;
        snprintf(line, sizeof(line), "%.*s", (int)(end - at - 1), at);
        if (first && parse_start(line, head) < 0)
            return -1;
        if (!first)
            parse_header(line, head);
        first = false;
        at = end + 1;
    }
    return first ? -1 : 0;
}

static struct body body_of_length(int64_t length)
{
    return (struct body){.kind = BODY_LENGTH, .left = (uint64_t)length, .ended = length == 0};
}

struct body body_of_request(const struct head *head)
{
    if (head->chunked)
        return (struct body){.kind = BODY_CHUNKED};
    return body_of_length(head->content_length < 0 ? 0 : head->content_length);
}

struct body body_of_answer(const struct head *head, const char *method)
{
    if (strcmp(method, "HEAD") == 0 || head->status == 204 || head->status == 304)
        return body_of_length(0);
    if (head->chunked)
        return (struct body){.kind = BODY_CHUNKED};
    if (head->content_length < 0)
        return (struct body){.kind = BODY_UNTIL_CLOSE};
    return body_of_length(head->content_length);
}

static int hex_value(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *found = c ? strchr(digits, c >= 'A' && c <= 'F' ? c + 32 : c) : NULL;
    return found ? (int)(found - digits) : -1;
}

/* One byte of a chunked body outside of its data. */
static void take_chunk_byte(struct body *body, char c)
{
    int digit;
    switch (body->chunk_state) {
    case CHUNK_SIZE:
        if ((digit = hex_value(c)) >= 0) {
            body->left = body->left * 16 + (uint64_t)digit;
            break;
        }
        body->chunk_state = CHUNK_EXTENSION;
        /* fall through */
    case CHUNK_EXTENSION:
        if (c == '\n') {
            body->chunk_state = body->left ? CHUNK_DATA : CHUNK_TRAILER;
            body->trailer_text = false;
        }
        break;
    case CHUNK_DATA_END:
        if (c == '\n')
            body->chunk_state = CHUNK_SIZE;
        break;
    default:
        if (c == '\n' && !body->trailer_text)
            body->ended = true;
        else if (c != '\r')
            body->trailer_text = c != '\n';
    }
}

size_t body_take(struct body *body, const char *data, size_t len)
{
    size_t taken = 0;
    if (body->kind == BODY_UNTIL_CLOSE)
        taken = len;
    while (taken < len && !body->ended) {
        if (body->kind == BODY_CHUNKED && body->chunk_state != CHUNK_DATA) {
            take_chunk_byte(body, data[taken++]);
            continue;
        }
        size_t n = len - taken < body->left ? len - taken : (size_t)body->left;
        taken += n;
        body->left -= n;
        if (body->left == 0 && body->kind == BODY_LENGTH)
            body->ended = true;
        else if (body->left == 0)
            body->chunk_state = CHUNK_DATA_END;
    }
    body->passed += taken;
    return taken;
}
