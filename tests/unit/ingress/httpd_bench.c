/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/ingress/httpd_bench.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "core/buf.h"
#include "core/mem.h"

enum { PATIENCE_MS = 20000 };

static const char *text_of(const char *value)
{
    return value ? value : "(none)";
}

static void give(const struct httpd_bench *b, struct httpd_request *rq)
{
    static const char *const headers[] = {"X-Bench", "yes", "Allow", "POST", NULL};
    struct buf text = BUF_INIT(b->answer_size + 4096);
    size_t len;
    const char *body = httpd_body(rq, &len);
    if (b->answer_size > 0) {
        text.data = xcalloc(1, b->answer_size + 1);
        text.size = b->answer_size + 1;
        text.len = b->answer_size;
        memset(text.data, 'x', b->answer_size);
    } else {
        buf_printf(&text, "%s %s|%s|%s|%s|%s", httpd_method(rq), httpd_path(rq),
                   len < 1024 ? body : "(long)", text_of(httpd_query(rq, "a")),
                   text_of(httpd_header(rq, "x-a")), httpd_peer(rq));
    }
    httpd_answer(rq, &(struct httpd_answer){.status = 200,
                                            .content_type = "text/plain",
                                            .body = text.data,
                                            .len = text.len,
                                            .headers = headers});
    buf_release(&text);
}

static void on_request(void *arg, struct httpd_request *rq)
{
    struct httpd_bench *b = arg;
    if (!atomic_load(&b->hold)) {
        give(b, rq);
        return;
    }
    pthread_mutex_lock(&b->lock);
    CHECK(b->n_kept < BENCH_KEPT_MAX);
    b->kept[b->n_kept++] = rq;
    pthread_cond_broadcast(&b->came);
    pthread_mutex_unlock(&b->lock);
}

struct httpd_bench *httpd_bench_start(const struct httpd_config *config)
{
    struct err err = {0};
    struct httpd_bench *b = xcalloc(1, sizeof(*b));
    struct httpd_config full = *config;
    CHECK(pthread_mutex_init(&b->lock, NULL) == 0);
    CHECK(pthread_cond_init(&b->came, NULL) == 0);
    if (full.fd == 0)
        full.fd = httpd_listen("127.0.0.1:0", "--listen", &err);
    if (full.fd < 0)
        fail_msg("%s", err.msg);
    if (full.body_max == 0)
        full.body_max = 64 * 1024;
    if (full.connections_max == 0)
        full.connections_max = 2000;
    if (full.request_timeout_ms == 0)
        full.request_timeout_ms = 60000;
    if (full.idle_timeout_ms == 0)
        full.idle_timeout_ms = 60000;
    full.on_request = on_request;
    full.arg = b;
    httpd_address(full.fd, b->address);
    b->httpd = httpd_start(&full, &err);
    if (!b->httpd)
        fail_msg("%s", err.msg);
    return b;
}

void httpd_bench_stop(struct httpd_bench *b)
{
    httpd_stop(b->httpd);
    assert_int_equal(b->n_kept, 0);
    pthread_cond_destroy(&b->came);
    pthread_mutex_destroy(&b->lock);
    free(b);
}

void bench_wait_kept(struct httpd_bench *b, size_t n)
{
    pthread_mutex_lock(&b->lock);
    while (b->n_kept < n)
        pthread_cond_wait(&b->came, &b->lock);
    pthread_mutex_unlock(&b->lock);
}

void bench_let_go(struct httpd_bench *b)
{
    pthread_mutex_lock(&b->lock);
    for (size_t i = 0; i < b->n_kept; i++)
        give(b, b->kept[i]);
    b->n_kept = 0;
    pthread_mutex_unlock(&b->lock);
}

int bench_connect(const struct httpd_bench *b)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const char *port = strrchr(b->address, ':') + 1;
    to.sin_port = htons((uint16_t)strtoul(port, NULL, 10));
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    if (connect(fd, (const struct sockaddr *)&to, sizeof(to)) == 0)
        return fd;
    int failed = errno;
    close(fd);
    errno = failed;
    return -1;
}

void bench_send(int fd, const char *text)
{
    size_t len = strlen(text);
    while (len > 0) {
        ssize_t n = send(fd, text, len, MSG_NOSIGNAL);
        if (n <= 0) /* the other side has closed; what it said before is to be read */
            return;
        text += n;
        len -= (size_t)n;
    }
}

/* One byte, so that nothing of the next answer is taken. False: there is none any more. */
static bool read_byte(int fd, char *c)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    if (poll(&p, 1, PATIENCE_MS) != 1)
        fail_msg("no answer within %d ms", PATIENCE_MS);
    return recv(fd, c, 1, 0) == 1;
}

char *bench_answer(int fd)
{
    struct buf text = BUF_INIT((size_t)64 * 1024 * 1024);
    const char *end = NULL;
    char c;
    while (!end && read_byte(fd, &c)) {
        buf_byte(&text, c);
        if (c == '\n')
            end = strstr(buf_str(&text), "\r\n\r\n");
    }
    const char *length = end ? strstr(buf_str(&text), "Content-Length: ") : NULL;
    size_t left = length ? strtoul(length + 16, NULL, 10) : 0;
    while (left-- > 0 && read_byte(fd, &c))
        buf_byte(&text, c);
    return buf_take(&text);
}

bool bench_ended(int fd, int ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    char c;
    return poll(&p, 1, ms) == 1 && recv(fd, &c, 1, 0) <= 0;
}

int bench_status(int fd, const char *request)
{
    bench_send(fd, request);
    char *answer = bench_answer(fd);
    int status = strncmp(answer, "HTTP/1.1 ", 9) == 0 ? (int)strtol(answer + 9, NULL, 10) : 0;
    free(answer);
    return status;
}

void bench_sleep(int ms)
{
    (void)poll(NULL, 0, ms);
}
