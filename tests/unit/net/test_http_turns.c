/* SPDX-License-Identifier: Apache-2.0
 *
 * An origin that says there are too many at a time: fewer are sent, all get their answer, and there
 * are as many again when it can take them. And what one origin costs in retries, another has.
 */
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/log.h"
#include "core/mem.h"
#include "net/net_private.h"
#include "net/origin.h"
#include "tests/unit/net/http_bench.h"

/* ---- a server that takes `most` requests at a time and answers 503 to further ones ----
 * By path: /work takes a few milliseconds; /hold until `open`; /stream answers with more than
 * sockets hold; /refuse with 503. */

enum { STREAM_BYTES = 8 * 1024 * 1024, WORK_MS = 8 };

static struct busy {
    int listener;
    char url[64];
    pthread_t acceptor;
    pthread_mutex_t lock; /* over what follows */
    pthread_cond_t changed;
    int most, at_once, peak; /* of /work */
    int served, refused;
    int asked; /* requests of any path */
    bool open;
    int connections;
} busy;

static void say(int fd, const char *head, size_t body_len)
{
    char *text = xprintf("HTTP/1.1 %s\r\nContent-Length: %zu\r\n\r\n", head, body_len);
    (void)!send(fd, text, strlen(text), MSG_NOSIGNAL);
    free(text);
    char *zeros = xcalloc(1, body_len + 1);
    for (size_t sent = 0; sent < body_len;) {
        ssize_t n = send(fd, zeros + sent, body_len - sent, MSG_NOSIGNAL);
        if (n <= 0)
            break;
        sent += (size_t)n;
    }
    free(zeros);
}

static bool work(void)
{
    pthread_mutex_lock(&busy.lock);
    bool taken = ++busy.at_once <= busy.most;
    if (busy.at_once > busy.peak)
        busy.peak = busy.at_once;
    if (!taken) {
        busy.at_once--;
        busy.refused++;
    }
    pthread_mutex_unlock(&busy.lock);
    if (taken) {
        nanosleep(&(struct timespec){.tv_nsec = WORK_MS * 1000 * 1000}, NULL);
        pthread_mutex_lock(&busy.lock);
        busy.at_once--;
        busy.served++;
        pthread_mutex_unlock(&busy.lock);
    }
    return taken;
}

static void hold(void)
{
    pthread_mutex_lock(&busy.lock);
    while (!busy.open)
        pthread_cond_wait(&busy.changed, &busy.lock);
    pthread_mutex_unlock(&busy.lock);
}

static void answer(int fd, const char *request)
{
    pthread_mutex_lock(&busy.lock);
    busy.asked++;
    pthread_mutex_unlock(&busy.lock);
    if (strstr(request, " /hold "))
        hold();
    if (strstr(request, " /refuse ") || (strstr(request, " /work ") && !work()))
        say(fd, "503 Slow Down", 0);
    else
        say(fd, "200 OK", strstr(request, " /stream ") ? STREAM_BYTES : 0);
}

static void *serve(void *arg)
{
    int fd = (int)(intptr_t)arg;
    char request[4096];
    size_t len = 0;
    ssize_t n;
    while ((n = recv(fd, request + len, sizeof(request) - 1 - len, 0)) > 0) {
        len += (size_t)n;
        request[len] = '\0';
        if (strstr(request, "\r\n\r\n")) { /* none has a body */
            answer(fd, request);
            len = 0;
        }
    }
    close(fd);
    pthread_mutex_lock(&busy.lock);
    busy.connections--;
    pthread_cond_broadcast(&busy.changed);
    pthread_mutex_unlock(&busy.lock);
    return NULL;
}

static void *accept_all(void *arg)
{
    (void)arg;
    int fd;
    while ((fd = accept(busy.listener, NULL, NULL)) >= 0) {
        pthread_t thread;
        pthread_mutex_lock(&busy.lock);
        busy.connections++;
        pthread_mutex_unlock(&busy.lock);
        if (pthread_create(&thread, NULL, serve, (void *)(intptr_t)fd) != 0)
            abort();
        pthread_detach(thread);
    }
    return NULL;
}

static struct loop *loop;
static struct loop_timer watchdog;
static FILE *told;

static void too_long(void *arg)
{
    (void)arg;
    fail_msg("it does not end");
}

static int set_up(void **state)
{
    (void)state;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    struct err err = {0};
    busy = (struct busy){.most = 1000};
    pthread_mutex_init(&busy.lock, NULL);
    pthread_cond_init(&busy.changed, NULL);
    busy.listener = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(busy.listener, (struct sockaddr *)&address, len) < 0 ||
        listen(busy.listener, 128) < 0 ||
        getsockname(busy.listener, (struct sockaddr *)&address, &len) < 0 ||
        pthread_create(&busy.acceptor, NULL, accept_all, NULL) != 0)
        return -1;
    snprintf(busy.url, sizeof(busy.url), "http://127.0.0.1:%d", ntohs(address.sin_port));
    loop = loop_new(&err);
    told = tmpfile();
    if (!loop || !told)
        return -1;
    log_init(told, LOG_INFO, LOG_HUMAN);
    loop_timer_start(loop, &watchdog, 60 * 1000, too_long, NULL);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    loop_timer_stop(loop, &watchdog);
    loop_free(loop); /* and with it the connections */
    shutdown(busy.listener, SHUT_RDWR);
    pthread_join(busy.acceptor, NULL);
    close(busy.listener);
    pthread_mutex_lock(&busy.lock);
    while (busy.connections > 0)
        pthread_cond_wait(&busy.changed, &busy.lock);
    pthread_mutex_unlock(&busy.lock);
    pthread_mutex_destroy(&busy.lock);
    pthread_cond_destroy(&busy.changed);
    log_init(stderr, LOG_ERROR, LOG_HUMAN);
    return fclose(told);
}

static int lines_with(const char *text)
{
    char line[1000];
    int n = 0;
    rewind(told);
    while (fgets(line, sizeof(line), told))
        n += strstr(line, text) != NULL;
    return n;
}

static struct busy look(void)
{
    pthread_mutex_lock(&busy.lock);
    struct busy seen = busy;
    pthread_mutex_unlock(&busy.lock);
    return seen;
}

static void open_up(void)
{
    pthread_mutex_lock(&busy.lock);
    busy.open = true;
    pthread_cond_broadcast(&busy.changed);
    pthread_mutex_unlock(&busy.lock);
}

/* ---- many at a time ---- */

enum { LANES = 32 };

/* Each lane sends one request after the other until `until` were served. */
static struct lanes {
    int until, running, attempts;
    unsigned flags;
} lanes;

static void go_on(void *arg, const struct http_response *rsp, const struct err *err);

static void send_one(void)
{
    char *url = xprintf("%s/work", busy.url);
    struct http_request rq = {.method = "GET", .url = url, .flags = lanes.flags};
    http_start(loop, &rq, &(struct http_events){.on_done = go_on}, NULL);
    free(url);
}

static void go_on(void *arg, const struct http_response *rsp, const struct err *err)
{
    (void)arg;
    lanes.attempts++;
    if (err && (!rsp || rsp->status != 503))
        fail_msg("%s", err->msg);
    if (look().served < lanes.until)
        send_one();
    else if (--lanes.running == 0)
        loop_stop(loop);
}

static void serve_until(int n)
{
    lanes.until = n;
    lanes.running = LANES;
    for (int i = 0; i < LANES; i++)
        send_one();
    loop_run(loop);
}

static struct origin *origin_of(const char *text)
{
    struct url url = {0};
    struct err err = {0};
    assert_int_equal(url_parse(text, &url, &err), 0);
    struct origin *origin = origin_get(loop_origins(loop), &url);
    url_release(&url);
    origin_put(loop_origins(loop), origin);
    return origin;
}

/* No retries here: what a wait of up to seconds would hide shows. */
static void test_converges_and_recovers(void **state)
{
    (void)state;
    lanes = (struct lanes){.flags = HTTP_NO_RETRY};
    busy.most = 4;
    serve_until(60);
    struct busy first = look();
    assert_true(first.refused >= 1);
    assert_true(first.refused < 3 * LANES); /* 32, 16, 8 and 4 at a time, in the worst case */

    pthread_mutex_lock(&busy.lock);
    busy.peak = 0;
    pthread_mutex_unlock(&busy.lock);
    serve_until(first.served + 400);
    struct busy then = look();
    assert_true(then.peak <= 3 * 4);
    assert_true(then.refused - first.refused <= 400 / TURNS_FOR_RAISE); /* one each raise at most */
    assert_true(then.peak >= 4);                                        /* not given up on either */
    assert_int_equal(lines_with("at most"), 1);
    assert_int_equal(lines_with("as before"), 0);

    pthread_mutex_lock(&busy.lock);
    busy.most = 1000;
    pthread_mutex_unlock(&busy.lock);
    serve_until(then.served + (LANES + 8) * TURNS_FOR_RAISE);
    assert_int_equal(look().refused, then.refused);
    assert_true(look().peak >= LANES * 3 / 4);
    assert_int_equal(origin_of(busy.url)->limit, 0);
    assert_int_equal(lines_with("as before"), 1);
    assert_int_equal(lines_with(""), 2);
}

static int n_fine;

static void fine(void *arg, const struct http_response *rsp, const struct err *err)
{
    int *left = arg;
    if (err)
        fail_msg("%s", err->msg);
    n_fine += rsp->status == 200;
    if (--*left == 0)
        loop_stop(loop);
}

/* More than the budget would pay for, were each refusal of one burst charged to it. */
static void test_a_large_burst_gets_through(void **state)
{
    enum { BURST = 200 };
    (void)state;
    int left = BURST;
    struct err err = {0};
    struct http_options options = bench_options();
    options.max_attempts = 6; /* the first are refused at once, some of the second by chance */
    assert_int_equal(http_init(&options, &err), 0);
    n_fine = 0;
    busy.most = 4;
    char *url = xprintf("%s/work", busy.url);
    struct http_request rq = {.method = "GET", .url = url};
    for (int i = 0; i < BURST; i++)
        http_start(loop, &rq, &(struct http_events){.on_done = fine}, &left);
    loop_run(loop);
    assert_int_equal(n_fine, BURST);
    assert_true(look().refused > 0); /* how many is the machine's business */
    assert_int_equal(bench_init(NULL), 0);
    free(url);
}

/* ---- waiting ---- */

struct asked {
    struct http_call *call;
    bool done;
    struct err err;
    int number; /* in the order of their ends, from 1 */
    int *left;
};

static int n_ended;

static void ended(void *arg, const struct http_response *rsp, const struct err *err)
{
    struct asked *asked = arg;
    (void)rsp;
    assert_false(asked->done);
    asked->done = true;
    asked->number = ++n_ended;
    if (err)
        asked->err = *err;
    if (--*asked->left == 0)
        loop_stop(loop);
}

static void ask_so(struct asked *asked, const char *path, struct http_request rq, int *left)
{
    char *url = xprintf("%s%s", busy.url, path);
    rq.method = "GET";
    rq.url = url;
    rq.flags = HTTP_NO_RETRY;
    *asked = (struct asked){.left = left};
    asked->call = http_start(loop, &rq, &(struct http_events){.on_done = ended}, asked);
    free(url);
}

static void ask(struct asked *asked, const char *path, int64_t timeout_ms, int *left)
{
    ask_so(asked, path, (struct http_request){.timeout_ms = timeout_ms}, left);
}

/* From here on one request at a time. */
static void be_refused(void)
{
    struct asked refused;
    int left = 1;
    ask(&refused, "/refuse", 0, &left);
    loop_run(loop);
    assert_int_equal(refused.err.http_status, 503);
    assert_int_equal(origin_of(busy.url)->limit, 1);
    n_ended = 0;
}

enum { ASKED = 5 };

static struct asked asked[ASKED];

static void cancel_some(void *arg)
{
    (void)arg;
    http_cancel(asked[2].call); /* waits */
    http_cancel(asked[0].call); /* is on its way */
    http_cancel(asked[1].call); /* gets its turn, and does not take it up */
    open_up();
}

static void test_cancel_while_waiting(void **state)
{
    static const int order[] = {2, 3, 1, 4, 5};
    (void)state;
    int left = ASKED;
    be_refused();
    for (int i = 0; i < ASKED; i++)
        ask(&asked[i], i == 0 ? "/hold" : "/work", 0, &left);
    struct loop_timer timer = {0};
    loop_timer_start(loop, &timer, 50, cancel_some, NULL);
    loop_run(loop);
    for (int i = 0; i < ASKED; i++) {
        assert_int_equal(asked[i].err.code, i < 3 ? ERR_CANCELLED : ERR_NONE);
        assert_int_equal(asked[i].number, order[i]);
    }
    assert_int_equal(look().served, 2);
    assert_int_equal(look().peak, 1);
}

static void open_later(void *arg)
{
    (void)arg;
    open_up();
}

static void test_waiting_counts_for_no_time_out(void **state)
{
    (void)state;
    int left = 3;
    be_refused();
    ask(&asked[0], "/hold", 0, &left);
    ask(&asked[1], "/work", 400, &left);
    ask(&asked[2], "/work", 400, &left);
    struct loop_timer timer = {0};
    loop_timer_start(loop, &timer, 600, open_later, NULL);
    loop_run(loop);
    for (int i = 0; i < 3; i++) {
        if (asked[i].err.code != ERR_NONE)
            fail_msg("%s", asked[i].err.msg);
        assert_int_equal(asked[i].number, i + 1);
    }
}

static void test_a_long_poll_keeps_nobody_waiting(void **state)
{
    (void)state;
    int left = 3;
    be_refused();
    /* Whatever else is waited for as long. */
    struct http_request poll = {.stall_timeout_ms = bench_options().stall_timeout_ms};
    ask_so(&asked[0], "/hold", poll, &left);
    ask(&asked[1], "/work", 0, &left);
    ask(&asked[2], "/work", 0, &left);
    struct loop_timer timer = {0};
    loop_timer_start(loop, &timer, 600, open_later, NULL);
    loop_run(loop);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(asked[i].err.code, ERR_NONE);
        assert_int_equal(asked[i].number, i ? i : 3);
    }
    assert_int_equal(look().peak, 1);
}

/* ---- a download that waits for memory, and the uploads that give it back ---- */

static struct {
    struct asked download, upload, after;
    bool paused_once;
    size_t taken;
    int left;
} scene;

static size_t take(void *arg, const void *data, size_t len)
{
    (void)arg;
    (void)data;
    if (!scene.paused_once) {
        scene.paused_once = true;
        return HTTP_PAUSE;
    }
    scene.taken += len;
    return len;
}

static void memory_is_back(void *arg, const struct http_response *rsp, const struct err *err)
{
    assert_true(scene.paused_once && !scene.download.done);
    ended(arg, rsp, err);
    http_resume(scene.download.call);
    ask(&scene.after, "/work", 0, &scene.left);
}

static void test_a_paused_download_starves_nobody(void **state)
{
    (void)state;
    char *down = xprintf("%s/stream", busy.url), *up = xprintf("%s/work", busy.url);
    struct http_request rq = {.method = "GET", .url = down};
    memset(&scene, 0, sizeof(scene));
    scene.left = 3;
    scene.download.left = scene.upload.left = &scene.left;
    be_refused();
    scene.download.call = http_start(
        loop, &rq, &(struct http_events){.on_data = take, .on_done = ended}, &scene.download);
    rq.url = up;
    scene.upload.call =
        http_start(loop, &rq, &(struct http_events){.on_done = memory_is_back}, &scene.upload);
    loop_run(loop);
    assert_int_equal(scene.upload.err.code, ERR_NONE);
    assert_int_equal(scene.download.err.code, ERR_NONE);
    assert_int_equal(scene.taken, STREAM_BYTES);
    assert_int_equal(scene.upload.number, 1);
    assert_int_equal(scene.download.number, 2);
    assert_int_equal(scene.after.number, 3); /* what goes on counts again */
    assert_int_equal(origin_of(busy.url)->running, 0);
    free(down);
    free(up);
}

/* ---- retries ---- */

static int one_more_attempt(void *arg, struct http_call *call, struct err *err)
{
    (void)call;
    (void)err;
    ++*(int *)arg;
    return 0;
}

static void no_answer(void *arg, const struct http_response *rsp, const struct err *err)
{
    (void)arg;
    assert_true(err && !rsp);
    if (--lanes.running == 0)
        loop_stop(loop);
}

static void go_to_the_dead(const char *url, int n, int *attempts)
{
    struct http_request rq = {.method = "GET", .url = url};
    struct http_events events = {.prepare = one_more_attempt, .on_done = no_answer};
    *attempts = 0;
    lanes.running = n;
    for (int i = 0; i < n; i++)
        http_start(loop, &rq, &events, attempts);
    loop_run(loop);
}

static void test_a_dead_origin_leaves_the_others_their_retries(void **state)
{
    static const struct scripted_answer answers[] = {{NULL, NULL, SCRIPTED_RESET},
                                                     {"200 OK\r\n", "fine"}};
    (void)state;
    int attempts;
    struct http_bench *b = bench_new(answers, 2);
    struct scripted_http *dead = scripted_http_start(NULL, 0);
    scripted_http_stop(dead);
    struct loop *own = loop;
    loop = b->loop;
    go_to_the_dead(scripted_http_url(dead), 40, &attempts);
    assert_true(attempts < 40 * BENCH_ATTEMPTS);
    go_to_the_dead(scripted_http_url(dead), 1, &attempts);
    assert_int_equal(attempts, 1); /* no more of them */
    bench_go(b, "/");
    bench_succeeded(b, 200);
    loop = own;
    bench_free(b, 2);
    scripted_http_free(dead);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_converges_and_recovers),
        TEST(test_a_large_burst_gets_through),
        TEST(test_cancel_while_waiting),
        TEST(test_waiting_counts_for_no_time_out),
        TEST(test_a_long_poll_keeps_nobody_waiting),
        TEST(test_a_paused_download_starves_nobody),
        TEST(test_a_dead_origin_leaves_the_others_their_retries),
    };
    return cmocka_run_group_tests(tests, bench_init, NULL);
}
