/* SPDX-License-Identifier: Apache-2.0
 *
 * scripted_server: a real HTTP server on a thread, which answers by a list of rows and keeps the
 * requests it got. The first row that is not used up and whose `match` is the beginning of the
 * request line answers; when there is none it answers 599. One request per connection.
 *
 *     static const struct row rows[] = {{"GET /v1/jobs/a ", 200, "", "{}"}, {NULL}};
 *     struct server *server = server_start(rows);
 *     ... requests to server->url ...
 *     server_stop(server);
 */
#ifndef EGRESS_TESTS_SCRIPTED_SERVER_H
#define EGRESS_TESTS_SCRIPTED_SERVER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <netinet/in.h>
#include <pthread.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/buf.h"
#include "core/mem.h"

struct row {
    const char *match;   /* beginning of the request line; NULL ends the list */
    int status;          /* 0: the connection is closed without an answer */
    const char *headers; /* each "Name: value\r\n"; Content-Length is added if `cut` is not set */
    const char *body;
    unsigned times; /* used up after so many; 0 means one */
    bool cut;       /* the connection is closed after the body, whatever the headers say */
    int gate;       /* a descriptor from which a byte is read before the answer; 0: none */
};

enum { REQUESTS_MAX = 64 };

struct server {
    char url[64]; /* "http://127.0.0.1:PORT" */
    const struct row *rows;
    unsigned used[64];
    char *requests[REQUESTS_MAX]; /* head and body; read after server_stop() or the answer */
    size_t n_requests;
    int listener;
    pthread_t thread;
};

/* Content-Length of the head, or 0. */
static size_t body_length(const char *head)
{
    for (const char *line = head; line; line = strstr(line, "\r\n")) {
        line += *line == '\r' ? 2 : 0;
        if (strncasecmp(line, "Content-Length:", 15) == 0)
            return strtoul(line + 15, NULL, 10);
    }
    return 0;
}

static char *read_request(int fd)
{
    struct buf text = BUF_INIT(256 * 1024);
    char chunk[4096];
    size_t want = SIZE_MAX;
    while (text.len < want) {
        ssize_t n = recv(fd, chunk, sizeof(chunk), 0);
        if (n <= 0 || buf_append(&text, chunk, (size_t)n) < 0)
            break;
        const char *end = strstr(buf_str(&text), "\r\n\r\n");
        if (end && want == SIZE_MAX)
            want = (size_t)(end - text.data) + 4 + body_length(text.data);
    }
    return buf_take(&text);
}

static void send_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
        if (n <= 0)
            return;
        data += n;
        len -= (size_t)n;
    }
}

static void answer(struct server *server, int fd, const char *request)
{
    static const struct row none = {"", 599, "", "no row of the script matches"};
    const struct row *row = &none;
    for (size_t i = 0; server->rows[i].match && row == &none; i++) {
        const struct row *r = &server->rows[i];
        if (strncmp(request, r->match, strlen(r->match)) == 0 &&
            server->used[i] < (r->times ? r->times : 1)) {
            server->used[i]++;
            row = r;
        }
    }
    char byte;
    if (row->status == 0 || (row->gate && read(row->gate, &byte, 1) != 1))
        return;
    char *head =
        xprintf("HTTP/1.1 %d Scripted\r\nConnection: close\r\n%s", row->status, row->headers);
    send_all(fd, head, strlen(head));
    free(head);
    if (!row->cut && row->status != 204) {
        head = xprintf("Content-Length: %zu\r\n", strlen(row->body));
        send_all(fd, head, strlen(head));
        free(head);
    }
    send_all(fd, "\r\n", 2);
    send_all(fd, row->body, strlen(row->body));
}

static void *serve(void *arg)
{
    struct server *server = arg;
    int fd;
    while ((fd = accept(server->listener, NULL, NULL)) >= 0) {
        char *request = read_request(fd);
        if (*request && server->n_requests < REQUESTS_MAX) {
            server->requests[server->n_requests++] = request;
            answer(server, fd, request);
        } else {
            free(request);
        }
        close(fd);
    }
    return NULL;
}

static struct server *server_start(const struct row *rows)
{
    struct server *server = xcalloc(1, sizeof(*server));
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    server->rows = rows;
    server->listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(server->listener, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(server->listener, 128), 0);
    assert_int_equal(getsockname(server->listener, (struct sockaddr *)&address, &len), 0);
    snprintf(server->url, sizeof(server->url), "http://127.0.0.1:%d", ntohs(address.sin_port));
    assert_int_equal(pthread_create(&server->thread, NULL, serve, server), 0);
    return server;
}

/* No request is answered any more; those that came can be looked at until server_free(). */
static void server_stop(struct server *server)
{
    shutdown(server->listener, SHUT_RDWR);
    pthread_join(server->thread, NULL);
    close(server->listener);
}

static void server_free(struct server *server)
{
    for (size_t i = 0; i < server->n_requests; i++)
        free(server->requests[i]);
    free(server);
}

#endif
