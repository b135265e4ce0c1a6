/* SPDX-License-Identifier: Apache-2.0
 *
 * Fuzz target: whatever bytes come over a connection, every request that reaches on_request keeps
 * the promises of httpd.h, and what goes out is HTTP. One server for all inputs, on a Unix socket.
 */
#include <stdint.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/log.h"
#include "ingress/httpd.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { BODY_MAX = 300 };

static struct sockaddr_un place = {.sun_family = AF_UNIX};
static socklen_t place_len = sizeof(place);

static void on_request(void *arg, struct httpd_request *rq)
{
    size_t len;
    const char *body = httpd_body(rq, &len);
    (void)arg;
    CHECK(len <= BODY_MAX && body[len] == '\0');
    CHECK(*httpd_method(rq));
    CHECK(httpd_path(rq));
    CHECK(strcmp(httpd_peer(rq), "unix") == 0);
    const char *value = httpd_query(rq, "a");
    const char *header = httpd_header(rq, "x-a");
    size_t seen = (value ? strlen(value) : 0) + (header ? strlen(header) : 0);
    httpd_answer(rq,
                 &(struct httpd_answer){.status = seen % 2 ? 200 : 400, .body = "{}", .len = 2});
}

static void start_once(void)
{
    static struct httpd *httpd;
    struct err err = {0};
    if (httpd)
        return;
    log_init(stderr, LOG_ERROR, LOG_HUMAN);
    /* The kernel chooses a name that is no file's (unix(7), autobind). */
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK(fd >= 0 && bind(fd, (const struct sockaddr *)&place, sizeof(place.sun_family)) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)&place, &place_len) == 0 && listen(fd, 64) == 0);
    struct httpd_config config = {.fd = fd,
                                  .body_max = BODY_MAX,
                                  .connections_max = 100,
                                  .request_timeout_ms = 5000,
                                  .idle_timeout_ms = 5000,
                                  .on_request = on_request};
    httpd = httpd_start(&config, &err);
    CHECK(httpd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct timeval patience = {.tv_sec = 8};
    char head[7], rest[4096];
    size_t n = 0;
    ssize_t got;
    start_once();
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK(fd >= 0);
    CHECK(connect(fd, (const struct sockaddr *)&place, place_len) == 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    (void)send(fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)shutdown(fd, SHUT_WR);
    while (n < sizeof(head) && (got = recv(fd, head + n, sizeof(head) - n, 0)) > 0)
        n += (size_t)got;
    CHECK(n == 0 || (n == sizeof(head) && memcmp(head, "HTTP/1.", sizeof(head)) == 0));
    while (recv(fd, rest, sizeof(rest), 0) > 0)
        ;
    close(fd);
    return 0;
}
