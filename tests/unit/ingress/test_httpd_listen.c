/* SPDX-License-Identifier: Apache-2.0
 *
 * httpd_listen: the forms of an address, what is refused, and Unix sockets that were left behind.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

#include "core/mem.h"
#include "ingress/httpd.h"
#include "tests/unit/ingress/httpd_bench.h"

static int listening(const char *address, char at[HTTPD_ADDRESS_SIZE])
{
    struct err err = {0};
    int fd = httpd_listen(address, "--listen", &err);
    if (fd < 0)
        fail_msg("%s", err.msg);
    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    httpd_address(fd, at);
    return fd;
}

static void refused(const char *address, enum err_code code, const char *says)
{
    struct err err = {0};
    int fd = httpd_listen(address, "--listen", &err);
    assert_int_equal(fd, -1);
    if (err.code != code || !strstr(err.msg, says) || strncmp(err.msg, "--listen ", 9) != 0)
        fail_msg("%s: %s: \"%s\"; expected \"%s\"", address, err_name(err.code), err.msg, says);
}

static void addresses(void **state)
{
    (void)state;
    char at[HTTPD_ADDRESS_SIZE];
    int fd = listening("127.0.0.1:0", at);
    assert_true(strncmp(at, "127.0.0.1:", 10) == 0 && strcmp(at, "127.0.0.1:0") != 0);
    assert_true(httpd_is_local(fd));
    refused(at, ERR_IO, "another program listens there already");
    close(fd);
    fd = listening(at, at); /* at once again, whatever the kernel still remembers */
    close(fd);
    fd = listening("[::1]:0", at);
    assert_true(strncmp(at, "[::1]:", 6) == 0);
    assert_true(httpd_is_local(fd));
    close(fd);
    fd = listening("0.0.0.0:0", at);
    assert_true(strncmp(at, "0.0.0.0:", 8) == 0);
    assert_false(httpd_is_local(fd));
    close(fd);
}

/* ":PORT" is for IPv4 too. */
static void all_addresses(void **state)
{
    (void)state;
    int fd = listening(":0", (char[HTTPD_ADDRESS_SIZE]){0});
    assert_false(httpd_is_local(fd));
    struct httpd_bench *b = httpd_bench_start(&(struct httpd_config){.fd = fd});
    int client = bench_connect(b);
    bench_send(client, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    char *answer = bench_answer(client);
    assert_non_null(strstr(answer, "|127.0.0.1"));
    free(answer);
    close(client);
    httpd_bench_stop(b);
}

static void forms_that_are_none(void **state)
{
    (void)state;
    static const char *const none[] = {"",
                                       "8080",
                                       "localhost:8080",
                                       "127.0.0.1",
                                       "127.0.0.1:",
                                       "127.1:x",
                                       "1.2.3.4:70000",
                                       "1.2.3.4:-1",
                                       "::1:80",
                                       "[::1]",
                                       "[]:80",
                                       "[::1:80",
                                       "unix:",
                                       "[127.0.0.1:80",
                                       "[::g]:80",
                                       "http://x:80",
                                       "1.2.3.4:80 ",
                                       "1.2.3.4:0x50"};
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
        refused(none[i], ERR_USAGE, "expected HOST:PORT with a numeric HOST");
    refused("203.0.113.1:0", ERR_IO, "203.0.113.1:0");
}

static char *in_folder(const char *folder, const char *name)
{
    return xprintf("unix:%s/%s", folder, name);
}

static int connect_to(const char *address)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    snprintf(to.sun_path, sizeof(to.sun_path), "%s", address + 5);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (const struct sockaddr *)&to, sizeof(to)) == 0)
        return fd;
    close(fd);
    return -1;
}

static void unix_sockets(void **state)
{
    (void)state;
    char folder[] = "/tmp/egress-listen-XXXXXX", at[HTTPD_ADDRESS_SIZE];
    assert_non_null(mkdtemp(folder));
    char *address = in_folder(folder, "s");
    struct stat st;
    mode_t before = umask(0);
    int fd = listening(address, at);
    umask(before);
    assert_string_equal(at, address);
    assert_true(httpd_is_local(fd));
    assert_int_equal(stat(address + 5, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    refused(address, ERR_CONFIG, "another program listens there");

    struct httpd_bench *b = httpd_bench_start(&(struct httpd_config){.fd = fd});
    int client = connect_to(address);
    bench_send(client, "GET /u HTTP/1.1\r\nHost: x\r\n\r\n");
    char *answer = bench_answer(client);
    assert_non_null(strstr(answer, "GET /u||(none)|(none)|unix"));
    free(answer);
    close(client);
    httpd_bench_stop(b);

    assert_int_equal(connect_to(address), -1); /* it is still there, and nobody listens */
    fd = listening(address, at);
    close(connect_to(address));
    close(fd);
    unlink(address + 5);
    free(address);
    rmdir(folder);
}

static void unix_sockets_in_the_present_folder(void **state)
{
    (void)state;
    char folder[] = "/tmp/egress-listen-XXXXXX", before[4096], at[HTTPD_ADDRESS_SIZE];
    assert_non_null(mkdtemp(folder));
    assert_non_null(getcwd(before, sizeof(before)));
    assert_int_equal(chdir(folder), 0);
    int fd = listening("unix:here", at);
    assert_string_equal(at, "unix:here");
    refused("unix:here", ERR_CONFIG, "another program listens there");
    close(fd);
    unlink("here");
    assert_int_equal(chdir(before), 0);
    rmdir(folder);
}

static void what_is_not_replaced(void **state)
{
    (void)state;
    char folder[] = "/tmp/egress-listen-XXXXXX";
    assert_non_null(mkdtemp(folder));
    char *address = in_folder(folder, "file");
    int fd = open(address + 5, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    close(fd);
    refused(address, ERR_CONFIG, "no socket");
    assert_int_equal(access(address + 5, F_OK), 0);
    unlink(address + 5);
    free(address);
    address = in_folder(folder, "missing/s");
    refused(address, ERR_IO, "No such file");
    free(address);
    char *name = xcalloc(1, 200);
    memset(name, 'n', 199);
    address = in_folder(folder, name);
    refused(address, ERR_USAGE, "expected a path of at most 107 bytes");
    free(address);
    free(name);
    rmdir(folder);
}

struct starter {
    const char *address;
    int fd;
};

static void *start(void *arg)
{
    struct starter *starter = arg;
    struct err err = {0};
    starter->fd = httpd_listen(starter->address, "--listen", &err);
    return NULL;
}

/* Several that find the same dead socket: one gets it, and it is the one that is reached. */
static void one_of_several(void **state)
{
    (void)state;
    char folder[] = "/tmp/egress-listen-XXXXXX";
    assert_non_null(mkdtemp(folder));
    char *address = in_folder(folder, "s");
    for (int round = 0; round < 20; round++) {
        struct starter starters[4];
        pthread_t threads[4];
        int winners = 0;
        close(listening(address, (char[HTTPD_ADDRESS_SIZE]){0})); /* dead */
        for (int i = 0; i < 4; i++) {
            starters[i] = (struct starter){address, -1};
            assert_int_equal(pthread_create(&threads[i], NULL, start, &starters[i]), 0);
        }
        for (int i = 0; i < 4; i++)
            pthread_join(threads[i], NULL);
        for (int i = 0; i < 4; i++) {
            if (starters[i].fd < 0)
                continue;
            winners++;
            int client = connect_to(address);
            int taken = accept(starters[i].fd, NULL, NULL);
            assert_true(taken >= 0);
            close(taken);
            close(client);
            close(starters[i].fd);
        }
        assert_int_equal(winners, 1);
    }
    unlink(address + 5);
    free(address);
    rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses),
        cmocka_unit_test(all_addresses),
        cmocka_unit_test(forms_that_are_none),
        cmocka_unit_test(unix_sockets),
        cmocka_unit_test(unix_sockets_in_the_present_folder),
        cmocka_unit_test(what_is_not_replaced),
        cmocka_unit_test(one_of_several),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
