/* SPDX-License-Identifier: Apache-2.0
 *
 * send_webhooks PORT JOBS CONNECTIONS: sends a webhook for each of the jobs job-000000 and so on to
 * 127.0.0.1:PORT, one after the other on each of so many connections. Ends with 0 once each of them
 * was answered with 200. (wrk sends for a time, not a number.)
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 512, ANSWER_MAX = 2048, PATIENCE_MS = 60 * 1000 };

static struct connection {
    char text[ANSWER_MAX]; /* what has come of the answer */
    size_t len;
} connections[CONNECTIONS_MAX];
static struct pollfd fds[CONNECTIONS_MAX];
static long jobs, sent, answered;

static void fail(const char *what)
{
    fprintf(stderr, "send_webhooks: %s; %ld of %ld were answered\n", what, answered, jobs);
    exit(1);
}

static void open_connection(struct pollfd *p, const char *port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1;
    at.sin_port = htons((uint16_t)strtoul(port, NULL, 10));
    *p = (struct pollfd){.fd = socket(AF_INET, SOCK_STREAM, 0), .events = POLLIN};
    if (p->fd < 0 || connect(p->fd, (const struct sockaddr *)&at, sizeof(at)) < 0)
        fail("cannot connect");
    setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

/* The next job's, as long as there is one. */
static void send_next(struct pollfd *p)
{
    char body[128], request[512];
    if (sent == jobs)
        return;
    int len =
        snprintf(body, sizeof(body),
                 "{\"id\":\"job-%06ld\",\"event\":\"job_complete\",\"msg\":\"done\"}", sent++);
    len =
        snprintf(request, sizeof(request),
                 "POST /job-complete HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
                 "Content-Length: %d\r\n\r\n%s",
                 len, body);
    if (send(p->fd, request, (size_t)len, MSG_NOSIGNAL) != len)
        fail("cannot send");
}

static void take_answer(struct pollfd *p, struct connection *c)
{
    ssize_t n = recv(p->fd, c->text + c->len, ANSWER_MAX - 1 - c->len, 0);
    if (n <= 0)
        fail("a connection was closed");
    c->len += (size_t)n;
    c->text[c->len] = '\0';
    const char *end = strstr(c->text, "\r\n\r\n"), *length = strstr(c->text, "Content-Length: ");
    if (!end || !length || c->len < (size_t)(end - c->text) + 4 + strtoul(length + 16, NULL, 10))
        return;
    if (strncmp(c->text, "HTTP/1.1 200 ", 13) != 0)
        fail(c->text);
    answered++;
    c->len = 0;
    send_next(p);
}

int main(int argc, char **argv)
{
    long n = argc == 4 ? strtol(argv[3], NULL, 10) : 0;
    if (n < 1 || n > CONNECTIONS_MAX)
        return 2;
    jobs = strtol(argv[2], NULL, 10);
    for (long i = 0; i < n; i++)
        open_connection(&fds[i], argv[1]);
    for (long i = 0; i < n; i++)
        send_next(&fds[i]);
    while (answered < jobs) {
        if (poll(fds, (nfds_t)n, PATIENCE_MS) <= 0)
            fail("no answer");
        for (long i = 0; i < n; i++)
            if (fds[i].revents)
                take_answer(&fds[i], &connections[i]);
    }
    return 0;
}
