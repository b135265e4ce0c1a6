/* SPDX-License-Identifier: Apache-2.0
 *
 * What a service manager hands over and is told: by the variables and the datagrams of
 * sd_listen_fds(3) and sd_notify(3). Sockets are handed over to a child, as descriptors from 3 on.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "serve/systemd.h"

static int reset(void **state)
{
    static const char *const variables[] = {"LISTEN_FDS",    "LISTEN_PID",    "LISTEN_FDNAMES",
                                            "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"};
    (void)state;
    for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++)
        unsetenv(variables[i]);
    return 0;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, reset, reset)

static void set_pid(const char *variable, long pid)
{
    char text[24];
    snprintf(text, sizeof(text), "%ld", pid);
    setenv(variable, text, 1);
}

/* ---- sockets ---- */

static int listening(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(fd, 1), 0);
    return fd;
}

struct handed {
    const char *names; /* LISTEN_FDNAMES, or NULL */
    const char *count; /* LISTEN_FDS */
    bool for_another;  /* LISTEN_PID is not its */
    bool no_listener;  /* descriptor 4 is no listening socket */
};

/* In a child that has listening sockets as 3 and 4: which of them is it? 0: none. */
static int asked_for(const struct handed *h, const char *name, int place)
{
    int status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        int a = listening(), b = h->no_listener ? open("/dev/null", O_RDONLY) : listening();
        int a_high = fcntl(a, F_DUPFD, 20), b_high = fcntl(b, F_DUPFD, 20);
        dup2(a_high, 3);
        dup2(b_high, 4);
        setenv("LISTEN_FDS", h->count, 1);
        set_pid("LISTEN_PID", h->for_another ? (long)getppid() : (long)getpid());
        if (h->names)
            setenv("LISTEN_FDNAMES", h->names, 1);
        int fd = systemd_socket(name, place);
        bool right = fd < 0 || ((fcntl(fd, F_GETFD) & FD_CLOEXEC) && /* not for our children */
                                (fcntl(fd, F_GETFL) & O_NONBLOCK));
        _exit(!right ? 99 : fd < 0 ? 0 : fd);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void sockets_by_name(void **state)
{
    (void)state;
    const struct handed h = {.names = "admin:webhooks", .count = "2"};
    assert_int_equal(asked_for(&h, "webhooks", 0), 4);
    assert_int_equal(asked_for(&h, "admin", 1), 3);
    assert_int_equal(asked_for(&h, "web", 0), 0);
    assert_int_equal(asked_for(&h, "adminx", 0), 0);
    const struct handed empty = {.names = "::webhooks", .count = "2"};
    assert_int_equal(asked_for(&empty, "webhooks", 0), 0); /* a third, which is not there */
}

static void sockets_by_place(void **state)
{
    (void)state;
    const struct handed h = {.count = "2"}, one = {.count = "1"};
    assert_int_equal(asked_for(&h, "webhooks", 0), 3);
    assert_int_equal(asked_for(&h, "admin", 1), 4);
    assert_int_equal(asked_for(&one, "webhooks", 0), 3);
    assert_int_equal(asked_for(&one, "admin", 1), 0);
}

static void sockets_that_are_not_for_us(void **state)
{
    (void)state;
    const struct handed other = {.count = "2", .for_another = true};
    assert_int_equal(asked_for(&other, "webhooks", 0), 0);
    const struct handed none = {.count = "2", .no_listener = true};
    assert_int_equal(asked_for(&none, "admin", 1), 0);
    static const char *const counts[] = {"", "0", "-1", "two", "99999999999999999999"};
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        const struct handed odd = {.count = counts[i]};
        assert_int_equal(asked_for(&odd, "webhooks", 0), 0);
    }
    assert_int_equal(systemd_socket("webhooks", 0), -1); /* no variables at all */
}

/* ---- what it is told ---- */

/* abstract: a name of Linux's that is no file. */
static void notified(bool abstract)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    char dir[] = "/tmp/egress-notify-XXXXXX", got[64] = "", name[64];
    assert_non_null(mkdtemp(dir));
    snprintf(name, sizeof(name), "%s%s/s", abstract ? "@" : "", dir);
    memcpy(at.sun_path, name, strlen(name));
    if (abstract)
        at.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));
    assert_int_equal(bind(fd, (struct sockaddr *)&at, len), 0);
    setenv("NOTIFY_SOCKET", name, 1);
    systemd_notify("READY=1\nSTATUS=taking webhooks");
    assert_int_equal(recv(fd, got, sizeof(got), MSG_DONTWAIT), 30);
    assert_memory_equal(got, "READY=1\nSTATUS=taking webhooks", 30);
    close(fd);
    if (!abstract)
        unlink(name);
    rmdir(dir);
}

static void told_at_a_path(void **state)
{
    (void)state;
    notified(false);
}

static void told_at_an_abstract_name(void **state)
{
    (void)state;
    notified(true);
}

/* Where nobody listens, or what is named is no name, nothing happens. */
static void nobody_to_tell(void **state)
{
    (void)state;
    char longer[200];
    memset(longer, 'x', sizeof(longer) - 1);
    longer[0] = '/';
    longer[sizeof(longer) - 1] = '\0';
    const char *const names[] = {"", "/", "relative", "/nobody/listens", longer};
    systemd_notify("READY=1");
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        setenv("NOTIFY_SOCKET", names[i], 1);
        systemd_notify("READY=1");
    }
}

static void watchdog(void **state)
{
    (void)state;
    assert_int_equal(systemd_watchdog_ms(), 0);
    setenv("WATCHDOG_USEC", "60000000", 1);
    assert_int_equal(systemd_watchdog_ms(), 60000);
    set_pid("WATCHDOG_PID", (long)getpid());
    assert_int_equal(systemd_watchdog_ms(), 60000);
    set_pid("WATCHDOG_PID", (long)getppid());
    assert_int_equal(systemd_watchdog_ms(), 0);
    unsetenv("WATCHDOG_PID");
    setenv("WATCHDOG_USEC", "soon", 1);
    assert_int_equal(systemd_watchdog_ms(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(sockets_by_name), TEST(sockets_by_place),         TEST(sockets_that_are_not_for_us),
        TEST(told_at_a_path),  TEST(told_at_an_abstract_name), TEST(nobody_to_tell),
        TEST(watchdog),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
