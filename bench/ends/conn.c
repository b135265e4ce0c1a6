/* SPDX-License-Identifier: Apache-2.0 */
#include "conn.h"

#include <errno.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { DISCARD_CHUNK = 1 << 20, TLS_CHUNK = 64 * 1024, ANSWER_MAX = 2048 };

void sleep_ms(int64_t ms)
{
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    while (ms > 0 && nanosleep(&left, &left) < 0 && errno == EINTR)
        ;
}

static long receive(struct conn *c, char *out, size_t len)
{
    if (c->tls)
        return SSL_read(c->tls, out, (int)len);
    return recv(c->fd, out, len, 0);
}

int conn_send(struct conn *c, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n =
            c->tls ? SSL_write(c->tls, data, (int)len) : send(c->fd, data, len, MSG_NOSIGNAL);
        if (n <= 0)
            return -1;
        data += n;
        len -= (size_t)n;
    }
    return 0;
}

static void drop(struct conn *c, size_t n)
{
    c->filled -= n;
    memmove(c->in, c->in + n, c->filled);
    c->in[c->filled] = '\0';
}

/* Length of the head with its empty line; -1: none came. */
static long read_head(struct conn *c)
{
    const char *end = NULL;
    while (!(end = strstr(c->in, "\r\n\r\n"))) {
        if (c->filled == HEAD_MAX)
            return -1;
        long n = receive(c, c->in + c->filled, HEAD_MAX - c->filled);
        if (n <= 0)
            return -1;
        c->filled += (size_t)n;
        c->in[c->filled] = '\0';
    }
    return end - c->in + 4;
}

static const char *value_of(const char *line, const char *name)
{
    size_t len = strlen(name);
    if (strncasecmp(line, name, len) != 0 || line[len] != ':')
        return NULL;
    return line + len + 1 + strspn(line + len + 1, " ");
}

static void keep(char *out, size_t size, const char *value)
{
    snprintf(out, size, "%.*s", (int)strcspn(value, "\r\n"), value);
}

/* What the headers say; whether the client waits for a 100. -1: of no known length. */
static int read_headers(struct conn *c, const char *stop, bool *expects_continue)
{
    c->body_left = 0;
    c->aws_chunked = *expects_continue = false;
    c->range[0] = c->if_range[0] = '\0';
    for (const char *line = strstr(c->in, "\r\n") + 2; line < stop;
         line = strstr(line, "\r\n") + 2) {
        const char *value;
        if ((value = value_of(line, "content-length")))
            c->body_left = strtoull(value, NULL, 10);
        else if ((value = value_of(line, "x-amz-content-sha256")))
            c->aws_chunked = strncmp(value, "STREAMING-", 10) == 0;
        else if ((value = value_of(line, "range")))
            keep(c->range, sizeof(c->range), value);
        else if ((value = value_of(line, "if-range")))
            keep(c->if_range, sizeof(c->if_range), value);
        else if (value_of(line, "expect"))
            *expects_continue = true;
        else if (value_of(line, "transfer-encoding"))
            return -1;
    }
    return 0;
}

int conn_request(struct conn *c)
{
    bool expects_continue;
    long head_len = read_head(c);
    if (head_len < 0 || sscanf(c->in, "%15s %2047s HTTP/1.1\r\n", c->method, c->target) != 2)
        return -1;
    if (read_headers(c, c->in + head_len - 2, &expects_continue) < 0) {
        conn_answer(c, "411 Length Required", "Connection: close\r\n", "");
        return -1;
    }
    const char *query = strchr(c->target, '?');
    c->query = query ? query + 1 : "";
    drop(c, (size_t)head_len);
    return expects_continue ? conn_send(c, "HTTP/1.1 100 Continue\r\n\r\n", 25) : 0;
}

/* MSG_TRUNC on TCP: the kernel drops the bytes instead of copying them (tcp(7)). */
static long discard(struct conn *c, size_t len)
{
    static _Thread_local char scrap[TLS_CHUNK];
    if (!c->tls)
        return recv(c->fd, NULL, len < DISCARD_CHUNK ? len : DISCARD_CHUNK,
                    MSG_TRUNC | MSG_WAITALL);
    return SSL_read(c->tls, scrap, (int)(len < TLS_CHUNK ? len : TLS_CHUNK));
}

long conn_take(struct conn *c, char *out, size_t len)
{
    if (len > c->body_left)
        len = (size_t)c->body_left;
    if (len == 0)
        return 0;
    long n;
    if (c->filled > 0) {
        n = (long)(len < c->filled ? len : c->filled);
        if (out)
            memcpy(out, c->in, (size_t)n);
        drop(c, (size_t)n);
    } else {
        n = out ? receive(c, out, len) : discard(c, len);
        if (n <= 0)
            return -1;
    }
    c->body_left -= (uint64_t)n;
    return n;
}

int conn_answer(struct conn *c, const char *status, const char *headers, const char *body)
{
    char text[ANSWER_MAX];
    size_t len = strlen(body);
    int n = snprintf(text, sizeof(text), "HTTP/1.1 %s\r\n%sContent-Length: %zu\r\n\r\n", status,
                     headers, len);
    if (len + (size_t)n <= sizeof(text)) { /* in one packet */
        memcpy(text + n, body, len);
        return conn_send(c, text, (size_t)n + len);
    }
    return conn_send(c, text, (size_t)n) < 0 ? -1 : conn_send(c, body, len);
}

void conn_close(struct conn *c)
{
    SSL_free(c->tls);
    close(c->fd);
}
