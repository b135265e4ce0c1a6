/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/systemd.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/text.h"

enum { FIRST_FD = 3, FDS_MAX = 64 };

static int64_t number_of(const char *variable, int64_t max)
{
    const char *text = getenv(variable);
    int64_t n;
    return text && text_parse_int(text, 0, max, &n) == 0 ? n : 0;
}

/* Variables of a parent's parent are not meant for us. */
static bool is_for_us(const char *variable)
{
    return number_of(variable, INT32_MAX) == (int64_t)getpid();
}

/* The place of `name` in the colon-separated LISTEN_FDNAMES; `standard` without that; -1: not in
 * it.
 */
static int place_of(const char *name, int standard)
{
    const char *names = getenv("LISTEN_FDNAMES");
    size_t len = strlen(name);
    if (!names)
        return standard;
    for (int i = 0;; i++) {
        size_t n = strcspn(names, ":");
        if (n == len && strncmp(names, name, n) == 0)
            return i;
        if (!names[n])
            return -1;
        names += n + 1;
    }
}

int systemd_socket(const char *name, int place)
{
    int64_t n = number_of("LISTEN_FDS", FDS_MAX);
    place = is_for_us("LISTEN_PID") ? place_of(name, place) : -1;
    if (place < 0 || place >= n)
        return -1;
    int fd = FIRST_FD + place, listening = 0;
    socklen_t len = sizeof(listening);
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) < 0 || !listening)
        return -1;
    (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    (void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    return fd;
}

void systemd_notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    size_t len = path ? strlen(path) : 0;
    if (len < 2 || len >= sizeof(to.sun_path) || (path[0] != '/' && path[0] != '@'))
        return;
    memcpy(to.sun_path, path, len);
    if (path[0] == '@') /* of Linux's abstract names */
        to.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    if (fd < 0)
        return;
    (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    /* One that is not heard stops nothing: systemd has time-outs of its own. */
    (void)!sendto(fd, state, strlen(state), MSG_DONTWAIT | MSG_NOSIGNAL,
                  (const struct sockaddr *)&to,
                  (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len));
    close(fd);
}

int64_t systemd_watchdog_ms(void)
{
    if (getenv("WATCHDOG_PID") && !is_for_us("WATCHDOG_PID"))
        return 0;
    return number_of("WATCHDOG_USEC", INT64_MAX) / 1000;
}
