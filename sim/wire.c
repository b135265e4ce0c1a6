/* SPDX-License-Identifier: Apache-2.0
 *
 * Waiting for, writing to and breaking a connection past libmicrohttpd.
 */
#include "wire.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "core/clock.h"

enum { SEND_TIMEOUT_MS = 60 * 1000 };

static int socket_of(struct MHD_Connection *connection)
{
    return MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
}

static bool client_has_gone(int fd)
{
    char byte;
    ssize_t n = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
}

bool wire_wait(struct sim *sim, struct MHD_Connection *connection, int64_t ms)
{
    enum { STEP_MS = 50 };
    int64_t end = clock_mono_ms() + ms + 1; /* never less: now is cut off to milliseconds */
    for (;;) {
        int64_t left = ms < 0 ? STEP_MS : end - clock_mono_ms();
        if (left <= 0)
            return true;
        server_sleep(sim, left < STEP_MS ? left : STEP_MS);
        if (sim->stopping || client_has_gone(socket_of(connection)))
            return false;
    }
}

static bool wait_writable(const struct sim *sim, int fd)
{
    struct pollfd fds[] = {{.fd = fd, .events = POLLOUT},
                           {.fd = sim->stop_pipe[0], .events = POLLIN}};
    return poll(fds, 2, SEND_TIMEOUT_MS) > 0 && !fds[1].revents;
}

int wire_send(struct sim *sim, struct MHD_Connection *connection, const void *data, size_t len)
{
    const char *p = data;
    int fd = socket_of(connection);
    while (len) {
        ssize_t n = sim->stopping ? -1 : send(fd, p, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n >= 0) {
            p += n;
            len -= (size_t)n;
        } else if (sim->stopping || (errno != EINTR && errno != EAGAIN) ||
                   !wait_writable(sim, fd)) {
            return -1;
        }
    }
    return 0;
}

/* The client's side has all that was sent, or it takes too long (tcp(7): SIOCOUTQ is TIOCOUTQ). */
static void drain(struct sim *sim, struct MHD_Connection *connection)
{
    enum { STEPS_MAX = 1000, STEP_MS = 2 };
    int unsent, fd = socket_of(connection);
    for (int i = 0; i < STEPS_MAX; i++)
        if (ioctl(fd, TIOCOUTQ, &unsent) < 0 || unsent == 0 || !wire_wait(sim, connection, STEP_MS))
            return;
}

void wire_reset(struct sim *sim, struct MHD_Connection *connection)
{
    static const struct sockaddr none = {.sa_family = AF_UNSPEC};
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    int fd = socket_of(connection), yes = 1;
    /* The reset drops what has not left; a last small piece would wait for an acknowledgement. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
    drain(sim, connection);
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    /* libmicrohttpd calls shutdown() before close(), which would send an orderly end first; this
     * dissolves the connection now (connect(2), Linux). */
    (void)connect(fd, &none, sizeof(none));
}
