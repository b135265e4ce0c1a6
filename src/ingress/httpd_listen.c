/* SPDX-License-Identifier: Apache-2.0
 *
 * httpd_listen: from "127.0.0.1:8080" to a listening socket, and back.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/text.h"
#include "ingress/httpd.h"

enum {
    BACKLOG = 1024,      /* connections that wait to be accepted */
    LOCK_WAIT_MS = 5000, /* for another process that looks at a Unix socket of the same folder */
};

#define FORMS    "expected HOST:PORT with a numeric HOST, [IPV6]:PORT, :PORT or unix:PATH"
#define UNIX     "unix:"
#define HOST_MAX 64

static int refused(const char *address, const char *what, int fd, int errnum, struct err *err)
{
    if (fd >= 0)
        (void)close(fd);
    if (errnum == EADDRINUSE)
        return err_set(err, ERR_IO, "%s %.100s: another program listens there already", what,
                       address);
    return err_set_errno(err, ERR_IO, errnum, "%s %.100s", what, address);
}

/* ---- TCP --------------------------------------------------------------------------------------
 */

/* Splits it; host is "" for all addresses. */
static int parse_tcp(const char *address, char host[HOST_MAX], uint16_t *port)
{
    const char *begin = address, *end = strrchr(address, ':');
    int64_t number;
    if (!end || text_parse_int(end + 1, 0, 65535, &number) < 0)
        return -1;
    *port = (uint16_t)number;
    if (*begin == '[') {
        if (end == begin || *--end != ']' || end == begin + 1)
            return -1;
        begin++;
    } else if (memchr(begin, ':', (size_t)(end - begin))) {
        return -1; /* IPv6 without its brackets: where would the port begin? */
    }
    if (end - begin >= HOST_MAX)
        return -1;
    memcpy(host, begin, (size_t)(end - begin));
    host[end - begin] = '\0';
    return 0;
}

static int bind_tcp(const struct sockaddr *to, socklen_t len)
{
    int fd = socket(to->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int on = 1, off = 0;
    if (fd < 0)
        return -1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (to->sa_family == AF_INET6) /* :: is for IPv4 too, whatever the system's default is */
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
    if (bind(fd, to, len) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    int failed = errno;
    (void)close(fd);
    errno = failed;
    return -1;
}

/* A numeric host, or "" for all addresses. -1: it is none. Not by getaddrinfo(), which the one-file
 * program does without (src/static_libc.c). */
static int parse_place(const char *host, uint16_t port, struct sockaddr_storage *place,
                       socklen_t *len)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)place;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)place;
    memset(place, 0, sizeof(*place));
    if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        *len = sizeof(*v4);
        return 0;
    }
    if (inet_pton(AF_INET6, *host ? host : "::", &v6->sin6_addr) != 1)
        return -1;
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    *len = sizeof(*v6);
    return 0;
}

static int listen_tcp(const char *address, const char *what, struct err *err)
{
    char host[HOST_MAX];
    uint16_t port;
    struct sockaddr_storage place;
    socklen_t len;
    if (parse_tcp(address, host, &port) < 0 || parse_place(host, port, &place, &len) < 0)
        return err_set(err, ERR_USAGE, "%s %.100s: " FORMS, what, address);
    int fd = bind_tcp((const struct sockaddr *)&place, len), failed = errno;
    if (fd < 0 && !*host && (failed == EAFNOSUPPORT || failed == EADDRNOTAVAIL)) {
        (void)parse_place("0.0.0.0", port, &place, &len); /* a machine without IPv6 */
        fd = bind_tcp((const struct sockaddr *)&place, len);
        failed = errno;
    }
    return fd >= 0 ? fd : refused(address, what, -1, failed, err);
}

/* ---- Unix -------------------------------------------------------------------------------------
 */

/* A lock on the folder: of two programs that find the same dead socket, the second one must not
 * remove what the first has put in its place. -1: errno. */
static int lock_folder_of(const char *path)
{
    char *folder = xstrdup(strchr(path, '/') ? path : "./");
    char *slash = strrchr(folder, '/');
    slash[slash == folder] = '\0';
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(folder);
    int64_t end_ms = clock_mono_ms() + LOCK_WAIT_MS;
    while (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0) {
        int failed = errno;
        if ((failed == EWOULDBLOCK || failed == EINTR) && clock_mono_ms() < end_ms) {
            nanosleep(&(struct timespec){.tv_nsec = 10 * 1000 * 1000}, NULL);
            continue;
        }
        (void)close(fd);
        errno = failed;
        return -1;
    }
    return fd;
}

/* 0: nothing is at the path any more, or it never was. */
static int make_way(const struct sockaddr_un *to, const char *what, struct err *err)
{
    struct stat st;
    if (lstat(to->sun_path, &st) < 0)
        return errno == ENOENT ? 0 : err_set_errno(err, ERR_IO, errno, "%s %s", what, to->sun_path);
    if (!S_ISSOCK(st.st_mode))
        return err_set(err, ERR_CONFIG,
                       "%s %s: there is something that is no socket; remove it, "
                       "or give another path",
                       what, to->sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return err_set_errno(err, ERR_IO, errno, "%s %s", what, to->sun_path);
    int rc = connect(fd, (const struct sockaddr *)to, sizeof(*to)), failed = errno;
    (void)close(fd);
    if (rc < 0 && failed == ECONNREFUSED) /* nobody: it was left by one that has ended */
        return unlink(to->sun_path) == 0
                   ? 0
                   : err_set_errno(err, ERR_IO, errno, "%s %s", what, to->sun_path);
    if (rc < 0 && failed != EAGAIN) /* EAGAIN: its backlog is full */
        return err_set_errno(err, ERR_IO, failed, "%s %s", what, to->sun_path);
    return err_set(err, ERR_CONFIG,
                   "%s %s: another program listens there; end it, or give another "
                   "path",
                   what, to->sun_path);
}

/* The mode of a socket before it is bound is that of its file (unix(7) is silent; Linux does so
 * since 2.6), less the umask: it is at no moment wider. */
static int bind_unix(const struct sockaddr_un *to, const char *what, struct err *err)
{
    struct stat st;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || fchmod(fd, S_IRUSR | S_IWUSR) < 0 ||
        bind(fd, (const struct sockaddr *)to, sizeof(*to)) < 0)
        return refused(to->sun_path, what, fd, errno, err);
    if (lstat(to->sun_path, &st) < 0 || (st.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
        (void)unlink(to->sun_path);
        (void)close(fd);
        return err_set(err, ERR_IO, "%s %s: this system makes sockets that others may use", what,
                       to->sun_path);
    }
    return listen(fd, BACKLOG) == 0 ? fd : refused(to->sun_path, what, fd, errno, err);
}

static int listen_unix(const char *path, const char *what, struct err *err)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    if (!*path)
        return err_set(err, ERR_USAGE, "%s " UNIX ": " FORMS, what);
    if (strlen(path) >= sizeof(to.sun_path))
        return err_set(err, ERR_USAGE, "%s " UNIX "%.100s...: expected a path of at most %zu bytes",
                       what, path, sizeof(to.sun_path) - 1);
    memcpy(to.sun_path, path, strlen(path));
    int lock = lock_folder_of(path);
    if (lock < 0)
        return err_set_errno(err, ERR_IO, errno, "%s %s: its folder", what, path);
    int fd = make_way(&to, what, err) < 0 ? -1 : bind_unix(&to, what, err);
    (void)close(lock);
    return fd;
}

int httpd_listen(const char *address, const char *what, struct err *err)
{
    if (strncmp(address, UNIX, strlen(UNIX)) == 0)
        return listen_unix(address + strlen(UNIX), what, err);
    return listen_tcp(address, what, err);
}

/* ---- back -------------------------------------------------------------------------------------
 */

union place {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_un local;
};

static void place_of(int fd, union place *place)
{
    socklen_t len = sizeof(*place);
    memset(place, 0, sizeof(*place));
    (void)getsockname(fd, &place->any, &len);
}

const char *httpd_address(int fd, char out[HTTPD_ADDRESS_SIZE])
{
    union place place;
    char host[INET6_ADDRSTRLEN] = "?";
    place_of(fd, &place);
    if (place.any.sa_family == AF_INET) {
        (void)inet_ntop(AF_INET, &place.v4.sin_addr, host, sizeof(host));
        snprintf(out, HTTPD_ADDRESS_SIZE, "%s:%d", host, ntohs(place.v4.sin_port));
    } else if (place.any.sa_family == AF_INET6) {
        (void)inet_ntop(AF_INET6, &place.v6.sin6_addr, host, sizeof(host));
        snprintf(out, HTTPD_ADDRESS_SIZE, "[%s]:%d", host, ntohs(place.v6.sin6_port));
    } else {
        snprintf(out, HTTPD_ADDRESS_SIZE, UNIX "%.*s", (int)sizeof(place.local.sun_path),
                 place.local.sun_path);
    }
    return out;
}

bool httpd_is_local(int fd)
{
    union place place;
    place_of(fd, &place);
    if (place.any.sa_family == AF_INET)
        return ntohl(place.v4.sin_addr.s_addr) >> 24 == 127;
    if (place.any.sa_family == AF_INET6)
        return IN6_IS_ADDR_LOOPBACK(&place.v6.sin6_addr) ||
               (IN6_IS_ADDR_V4MAPPED(&place.v6.sin6_addr) && place.v6.sin6_addr.s6_addr[12] == 127);
    return place.any.sa_family == AF_UNIX;
}
