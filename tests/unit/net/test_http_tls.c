/* SPDX-License-Identifier: Apache-2.0
 *
 * TLS against openssl's own server: a certificate of an unknown authority is refused, with a word
 * on the remedy; with the authority's file it is accepted; and there is no way back to http.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/mem.h"
#include "tests/unit/net/http_bench.h"

static struct tls_server {
    char dir[32];
    char *bundle; /* the authority's file */
    char port[8];
    pid_t pid;
} tls;

static void write_file(const char *name, const char *text)
{
    char *path = xprintf("%s/%s", tls.dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
    free(path);
}

/* Starts openssl in the directory, with `out` as its standard output. */
static pid_t spawn(const char *const argv[], int out)
{
    pid_t pid = fork();
    if (pid == 0) {
        if (chdir(tls.dir) < 0 || dup2(out, 1) < 0 || !freopen("log", "a", stderr))
            _exit(126);
        execvp(argv[0], (char *const *)argv);
        _exit(127);
    }
    return pid;
}

static int make_certificate(void)
{
    /* The key is of use to nobody: it is made anew for each run. */
    static const char *const argv[] = {"openssl",
                                       "req",
                                       "-x509",
                                       "-newkey",
                                       "ec",
                                       "-pkeyopt",
                                       "ec_paramgen_curve:P-256",
                                       "-nodes",
                                       "-days",
                                       "2",
                                       "-subj",
                                       "/CN=egress test",
                                       "-addext",
                                       "subjectAltName=IP:127.0.0.1",
                                       "-keyout",
                                       "key.pem",
                                       "-out",
                                       "cert.pem",
                                       NULL};
    int status = -1;
    pid_t pid = spawn(argv, 2);
    return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0 ? 0 : -1;
}

/* Port 0, and the answer's "ACCEPT 127.0.0.1:PORT" line. -HTTP: the files are whole answers. */
static int start_server(void)
{
    static const char *const argv[] = {"openssl", "s_server", "-accept", "127.0.0.1:0", "-HTTP",
                                       "-cert",   "cert.pem", "-key",    "key.pem",     NULL};
    int out[2];
    if (pipe(out) < 0)
        return -1;
    tls.pid = spawn(argv, out[1]);
    close(out[1]);
    FILE *f = fdopen(out[0], "r");
    char line[256];
    while (!*tls.port && fgets(line, sizeof(line), f))
        sscanf(line, "ACCEPT 127.0.0.1:%7[0-9]", tls.port);
    fclose(f); /* it prints nothing more */
    return *tls.port ? 0 : -1;
}

static int set_up(void **state)
{
    if (bench_init(state) < 0)
        return -1;
    memcpy(tls.dir, "/tmp/egress-tls-XXXXXX", sizeof("/tmp/egress-tls-XXXXXX"));
    if (!mkdtemp(tls.dir))
        return -1;
    tls.bundle = xprintf("%s/cert.pem", tls.dir);
    write_file("hello", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    write_file("down", "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n"
                       "Content-Length: 0\r\n\r\n");
    return make_certificate() == 0 ? start_server() : -1;
}

static int tear_down(void **state)
{
    static const char *const files[] = {"hello", "down", "key.pem", "cert.pem", "log", "no.pem"};
    (void)state;
    if (tls.pid > 0) {
        kill(tls.pid, SIGTERM);
        waitpid(tls.pid, NULL, 0);
    }
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        char *path = xprintf("%s/%s", tls.dir, files[i]);
        unlink(path);
        free(path);
    }
    free(tls.bundle);
    return rmdir(tls.dir);
}

static int init(const char *bundle, struct err *err)
{
    struct http_options options = bench_options();
    options.ca_bundle = bundle;
    return http_init(&options, err);
}

static struct http_bench *get(const char *scheme, const char *file, unsigned flags)
{
    struct http_bench *b = bench_new(NULL, 0);
    char *url = xprintf("%s://127.0.0.1:%s/%s", scheme, tls.port, file);
    b->rq.flags = flags;
    bench_go(b, url);
    free(url);
    return b;
}

static void test_unknown_authority(void **state)
{
    (void)state;
    struct err err = {0};
    assert_int_equal(init(NULL, &err), 0);
    struct http_bench *b = get("https", "hello", 0);
    bench_failed(b, ERR_CONFIG, "--ca-bundle");
    assert_false(b->answered);
    bench_free(b, 0);
}

static void test_not_tls(void **state)
{
    (void)state;
    struct err err = {0};
    static const struct scripted_answer answer = {"HTTP/1.1 200 OK\r\n\r\n", "", SCRIPTED_RAW};
    assert_int_equal(init(NULL, &err), 0);
    struct http_bench *b = bench_new(&answer, 1);
    b->rq.flags = HTTP_NO_RETRY;
    char *url = xprintf("https%s/", scripted_http_url(b->server) + strlen("http"));
    /* The server waits for the end of a request that is none. */
    bench_go(b, url);
    bench_failed(b, ERR_TIMEOUT, "127.0.0.1");
    bench_free(b, 0);
    free(url);
}

static void test_bundle_that_is_none(void **state)
{
    (void)state;
    struct err err = {0};
    char *path = xprintf("%s/no.pem", tls.dir);
    assert_int_equal(init(path, &err), -1); /* not there */
    assert_int_equal(err.code, ERR_CONFIG);
    assert_non_null(strstr(err.msg, path));
    write_file("no.pem", "this is not a certificate\n");
    assert_int_equal(init(path, &err), 0);
    struct http_bench *b = get("https", "hello", 0);
    bench_failed(b, ERR_CONFIG, "--ca-bundle");
    bench_free(b, 0);
    free(path);
    assert_int_equal(init("", &err), 0); /* as if it were not set */
}

static void test_known_authority(void **state)
{
    (void)state;
    struct err err = {0};
    assert_int_equal(init(tls.bundle, &err), 0);
    struct http_bench *b = get("https", "hello", 0);
    bench_succeeded(b, 200);
    assert_string_equal(b->body, "hello");
    bench_free(b, 0);
}

/* The certificate is for the address, not for the name. */
static void test_other_name(void **state)
{
    (void)state;
    struct err err = {0};
    assert_int_equal(init(tls.bundle, &err), 0);
    struct http_bench *b = bench_new(NULL, 0);
    char *url = xprintf("https://localhost:%s/hello", tls.port);
    bench_go(b, url);
    bench_failed(b, ERR_CONFIG, "certificate");
    bench_free(b, 0);
    free(url);
}

static void test_no_way_back_to_http(void **state)
{
    static const char *const schemes[] = {"https", "HTTPS"};
    (void)state;
    struct err err = {0};
    assert_int_equal(init(tls.bundle, &err), 0);
    for (int i = 0; i < 2; i++) {
        struct http_bench *b = get(schemes[i], "down", HTTP_FOLLOW);
        bench_failed(b, ERR_PROTOCOL, "from https to http");
        bench_free(b, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unknown_authority),   cmocka_unit_test(test_not_tls),
        cmocka_unit_test(test_bundle_that_is_none), cmocka_unit_test(test_known_authority),
        cmocka_unit_test(test_other_name),          cmocka_unit_test(test_no_way_back_to_http),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
