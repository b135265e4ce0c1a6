/* SPDX-License-Identifier: Apache-2.0
 *
 * Sockets.
 */
#include "wire.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/mem.h"

enum { LINGER_MS = 1000 };

static void no_delay(int fd)
{
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

void wire_init(struct wire *wire, int fd)
{
    *wire = (struct wire){.fd = fd, .data = xcalloc(1, WIRE_BYTES)};
    if (fd >= 0)
        no_delay(fd);
}

void wire_release(struct wire *wire)
{
    free(wire->data);
    wire->data = NULL;
}

int wire_connect(struct wire *wire, const struct addrinfo *where)
{
    int fd = socket(where->ai_family, SOCK_STREAM, 0);
    if (fd < 0)
        return -1;
    if (connect(fd, where->ai_addr, where->ai_addrlen) < 0) {
        close(fd);
        return -1;
    }
    no_delay(fd);
    wire->fd = fd;
    wire->len = 0;
    return 0;
}

bool wire_is_stale(const struct wire *wire)
{
    struct pollfd fd = {.fd = wire->fd, .events = POLLIN};
    return wire->len || poll(&fd, 1, 0) > 0;
}

void wire_linger(struct wire *wire)
{
    shutdown(wire->fd, SHUT_WR);
    wire_wait_gone(wire, LINGER_MS);
}

void wire_close(struct wire *wire, bool rst)
{
    if (wire->fd < 0)
        return;
    if (rst)
        setsockopt(wire->fd, SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1},
                   sizeof(struct linger));
    close(wire->fd);
    wire->fd = -1;
    wire->len = 0;
}

long wire_receive(struct wire *wire)
{
    if (wire->len == WIRE_BYTES)
        return -1;
    ssize_t n;
    do
        n = recv(wire->fd, wire->data + wire->len, WIRE_BYTES - wire->len, 0);
    while (n < 0 && errno == EINTR);
    if (n > 0)
        wire->len += (size_t)n;
    return n;
}

void wire_drop(struct wire *wire, size_t n)
{
    wire->len -= n;
    memmove(wire->data, wire->data + n, wire->len);
}

int wire_send(struct wire *wire, const char *data, size_t len)
{
    while (len) {
        ssize_t n = send(wire->fd, data, len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -1;
        data += n;
        len -= (size_t)n;
    }
    return 0;
}

void wire_wait_gone(struct wire *wire, int64_t ms)
{
    char waste[4096];
    int64_t end_ms = clock_mono_ms() + ms;
    struct pollfd wait = {.fd = wire->fd, .events = POLLIN};
    for (int64_t left; (left = end_ms - clock_mono_ms()) > 0;)
        if (poll(&wait, 1, (int)left) <= 0 || recv(wire->fd, waste, sizeof(waste), 0) <= 0)
            return;
}

void wire_sleep(int64_t ms)
{
    poll(NULL, 0, (int)ms);
}
