/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/scripted_http.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/err.h"
#include "core/mem.h"

enum { REQUEST_MAX = 1024 * 1024, ANSWER_MAX = 32 * 1024 * 1024 };

struct scripted_http {
    const struct scripted_answer *answers; /* borrowed */
    size_t n_answers;
    char url[64];
    int listener;
    int stop_pipe[2];
    pthread_t thread;
    struct buf *requests; /* the thread's until it has ended */
    size_t n_requests;
};

/* Value of a header in a request, up to the line's end; NULL when it is not there. */
static const char *find_header(const char *request, const char *name, size_t *len)
{
    size_t name_len = strlen(name);
    const char *end = strstr(request, "\r\n\r\n");
    for (const char *line = strstr(request, "\r\n"); line && line < end;
         line = strstr(line, "\r\n")) {
        line += 2;
        if (strncasecmp(line, name, name_len) == 0 && line[name_len] == ':') {
            const char *value = line + name_len + 1 + strspn(line + name_len + 1, " ");
            *len = strcspn(value, "\r");
            return value;
        }
    }
    return NULL;
}

static int read_request(int fd, struct buf *rq, bool early)
{
    char data[8192];
    for (;;) {
        const char *end = rq->len ? strstr(rq->data, "\r\n\r\n") : NULL;
        if (end) {
            size_t ignored;
            const char *length = find_header(rq->data, "Content-Length", &ignored);
            size_t want = length ? (size_t)strtoul(length, NULL, 10) : 0;
            if (early || rq->len >= (size_t)(end + 4 - rq->data) + want)
                return 0;
        }
        ssize_t n = read(fd, data, sizeof(data));
        if (n <= 0 || buf_append(rq, data, (size_t)n) < 0)
            return -1;
    }
}

static void expand(const struct scripted_http *s, const char *head, struct buf *out)
{
    while (*head) {
        const char *at = head + strcspn(head, "@");
        buf_append(out, head, (size_t)(at - head));
        if (!*at)
            break;
        const char *close = strchr(at + 1, '@');
        CHECK(close);
        char *name = xstrndup(at + 1, (size_t)(close - at - 1));
        for (size_t i = s->n_requests; i-- > 0;) {
            size_t len;
            const char *value = find_header(buf_str(&s->requests[i]), name, &len);
            if (value) {
                buf_append(out, value, len);
                break;
            }
        }
        free(name);
        head = close + 1;
    }
}

static void send_all(int fd, const char *data, size_t len, unsigned flags)
{
    size_t step = flags & SCRIPTED_DRIP ? 1 : len;
    for (size_t sent = 0; sent < len;) {
        ssize_t n = send(fd, data + sent, len - sent < step ? len - sent : step, MSG_NOSIGNAL);
        if (n <= 0)
            break;
        sent += (size_t)n;
    }
}

static void answer(const struct scripted_http *s, int fd, const struct scripted_answer *a)
{
    struct buf text = BUF_INIT(ANSWER_MAX);
    if (a->flags & SCRIPTED_RAW) {
        buf_str_append(&text, a->head);
    } else {
        buf_str_append(&text, "HTTP/1.1 ");
        expand(s, a->head, &text);
        if (!strstr(a->head, "Content-Length") && !strstr(a->head, "Transfer-Encoding") &&
            strncmp(a->head, "204", 3) != 0)
            buf_printf(&text, "Content-Length: %zu\r\n", strlen(a->body));
        if (!(a->flags & (SCRIPTED_KEEP | SCRIPTED_CLOSE)))
            buf_str_append(&text, "Connection: close\r\n");
        buf_str_append(&text, "\r\n");
    }
    buf_str_append(&text, a->body);
    CHECK(!buf_overflowed(&text));
    send_all(fd, text.data, text.len, a->flags);
    buf_release(&text);
}

/* Until the client closes the connection, or the server ends. */
static void hold(const struct scripted_http *s, int fd)
{
    char ignored[4096];
    struct pollfd fds[] = {{.fd = fd, .events = POLLIN}, {.fd = s->stop_pipe[0], .events = POLLIN}};
    do {
        if (poll(fds, 2, -1) < 0)
            continue;
    } while (!fds[1].revents && read(fd, ignored, sizeof(ignored)) > 0);
}

/* Whether the client sends another request on the connection, before it closes it or goes on with a
 * new one. */
static bool comes_again(const struct scripted_http *s, int fd)
{
    struct pollfd fds[] = {{.fd = fd, .events = POLLIN},
                           {.fd = s->listener, .events = POLLIN},
                           {.fd = s->stop_pipe[0], .events = POLLIN}};
    while (poll(fds, 3, -1) < 0)
        ;
    return fds[0].revents != 0;
}

/* One request. Returns whether the connection goes on. */
static bool serve(struct scripted_http *s, int fd)
{
    static const struct scripted_answer exhausted = {"501 Not In The Script\r\n", "", 0};
    struct buf rq = BUF_INIT(REQUEST_MAX);
    size_t i = s->n_requests;
    if (read_request(fd, &rq, i < s->n_answers && (s->answers[i].flags & SCRIPTED_EARLY)) < 0) {
        buf_release(&rq);
        return false;
    }
    s->n_requests++;
    s->requests = xrealloc(s->requests, s->n_requests * sizeof(s->requests[0]));
    s->requests[i] = rq;
    const struct scripted_answer *a = i < s->n_answers ? &s->answers[i] : &exhausted;
    if (a->head)
        answer(s, fd, a);
    if (a->flags & SCRIPTED_HOLD)
        hold(s, fd);
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    if (a->flags & SCRIPTED_RESET)
        CHECK(setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)) == 0);
    return (a->flags & SCRIPTED_KEEP) && comes_again(s, fd);
}

static void *run(void *arg)
{
    struct scripted_http *s = arg;
    for (;;) {
        struct pollfd fds[] = {{.fd = s->listener, .events = POLLIN},
                               {.fd = s->stop_pipe[0], .events = POLLIN}};
        if (poll(fds, 2, -1) < 0)
            continue;
        if (fds[1].revents)
            return NULL;
        int fd = accept(s->listener, NULL, NULL);
        if (fd >= 0) {
            int on = 1;
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
            while (serve(s, fd))
                ;
            close(fd);
        }
    }
}

struct scripted_http *scripted_http_start(const struct scripted_answer *answers, size_t n)
{
    return scripted_http_start_at("127.0.0.1", answers, n);
}

struct scripted_http *scripted_http_start_at(const char *ip, const struct scripted_answer *answers,
                                             size_t n)
{
    struct scripted_http *s = xcalloc(1, sizeof(*s));
    s->answers = answers;
    s->n_answers = n;
    struct sockaddr_in address = {.sin_family = AF_INET};
    CHECK(inet_pton(AF_INET, ip, &address.sin_addr) == 1);
    socklen_t len = sizeof(address);
    s->listener = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(s->listener >= 0);
    CHECK(bind(s->listener, (struct sockaddr *)&address, sizeof(address)) == 0);
    CHECK(listen(s->listener, 16) == 0);
    CHECK(getsockname(s->listener, (struct sockaddr *)&address, &len) == 0);
    snprintf(s->url, sizeof(s->url), "http://%s:%u", ip, (unsigned)ntohs(address.sin_port));
    CHECK(pipe(s->stop_pipe) == 0);
    CHECK(pthread_create(&s->thread, NULL, run, s) == 0);
    return s;
}

const char *scripted_http_url(const struct scripted_http *server)
{
    return server->url;
}

size_t scripted_http_stop(struct scripted_http *server)
{
    if (server->listener >= 0) {
        close(server->stop_pipe[1]);
        pthread_join(server->thread, NULL);
        close(server->stop_pipe[0]);
        close(server->listener);
        server->listener = -1;
    }
    return server->n_requests;
}

const char *scripted_http_request(const struct scripted_http *server, size_t i)
{
    CHECK(i < server->n_requests);
    return buf_str(&server->requests[i]);
}

void scripted_http_free(struct scripted_http *server)
{
    for (size_t i = 0; i < server->n_requests; i++)
        buf_release(&server->requests[i]);
    free(server->requests);
    free(server);
}
