/* SPDX-License-Identifier: Apache-2.0
 *
 * Bodies that are taken piece by piece, pauses, and calls that are cancelled: every byte once and
 * in order, and one end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/mem.h"
#include "tests/unit/net/http_bench.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- pauses ---- */

enum resume_how { RESUME_INSIDE, RESUME_BY_TASK, RESUME_BY_TIMER, RESUME_LATE, RESUME_KINDS };

static struct taker {
    struct http_bench *b;
    uint32_t random;
    enum resume_how how;
    size_t most; /* taken at once */
    unsigned n_pauses;
    bool paused; /* on_data must not be called */
    struct loop_task task;
    struct loop_timer timer;
} taker;

static uint32_t next_random(uint32_t below)
{
    taker.random = taker.random * 1664525 + 1013904223;
    return (uint32_t)(((uint64_t)taker.random * below) >> 32);
}

static void resume(void *arg)
{
    struct taker *t = arg;
    t->paused = false;
    http_resume(t->b->call);
}

static void resume_somehow(struct taker *t)
{
    enum resume_how how = t->how == RESUME_KINDS ? next_random(RESUME_LATE) : t->how;
    switch (how) {
    case RESUME_INSIDE:
        http_resume(t->b->call);
        break;
    case RESUME_BY_TASK:
        t->paused = true;
        loop_post(t->b->loop, &t->task, resume, t);
        break;
    case RESUME_BY_TIMER:
        t->paused = true;
        loop_timer_start(t->b->loop, &t->timer, next_random(2), resume, t);
        break;
    default: /* longer than the stall time-out: who does not want bytes is not stalled */
        t->paused = true;
        loop_timer_start(t->b->loop, &t->timer, BENCH_STALL_MS * 5 / 2, resume, t);
    }
}

static size_t take_some(void *arg, const void *data, size_t len)
{
    struct http_bench *b = arg;
    struct taker *t = &taker;
    assert_false(t->paused);
    assert_true(len > 0);
    size_t n = next_random(4) == 0 ? 0 : 1 + next_random((uint32_t)t->most);
    if (n >= len) {
        n = len;
    } else {
        t->n_pauses++;
        resume_somehow(t);
    }
    assert_int_equal(buf_append(&b->data, data, n), 0);
    return n || len == 0 ? n : HTTP_PAUSE;
}

static char *letters(size_t len)
{
    char *text = xcalloc(1, len + 1);
    uint32_t x = 7;
    for (size_t i = 0; i < len; i++) {
        x = x * 1664525 + 1013904223;
        text[i] = (char)('a' + (x >> 24) % 26);
    }
    return text;
}

/* The text cut into chunks of all sizes. Caller frees. */
static char *chunked(const char *text, uint32_t most)
{
    struct buf out = BUF_INIT(4 * 1024 * 1024);
    for (size_t left = strlen(text); left > 0;) {
        size_t n = 1 + next_random(most);
        n = n < left ? n : left;
        buf_printf(&out, "%zx\r\n%.*s\r\n", n, (int)n, text);
        text += n;
        left -= n;
    }
    buf_str_append(&out, "0\r\nX-Trailer: 1\r\n\r\n");
    return buf_take(&out);
}

static void check_flow(size_t len, bool in_chunks, unsigned flags, enum resume_how how, size_t most,
                       uint32_t seed)
{
    taker = (struct taker){.random = seed, .how = how, .most = most};
    char *text = letters(len);
    char *wire = in_chunks ? chunked(text, len < 5000 ? 40 : 70 * 1000) : xstrdup(text);
    struct scripted_answer answer = {
        in_chunks ? "200 OK\r\nTransfer-Encoding: chunked\r\n" : "200 OK\r\n", wire, flags};
    struct http_bench *b = bench_new(&answer, 1);
    taker.b = b;
    bench_stream(b);
    b->events.on_data = take_some;
    bench_go(b, "/");
    bench_succeeded(b, 200);
    assert_int_equal(b->n_head, 1);
    assert_int_equal(b->content_length, in_chunks ? -1 : (int64_t)len);
    assert_int_equal(b->data.len, len);
    assert_string_equal(buf_str(&b->data), text);
    assert_int_equal(b->body_len, 0);
    if (how != RESUME_LATE)
        assert_true(taker.n_pauses > 0);
    loop_timer_stop(b->loop, &taker.timer);
    bench_free(b, 1);
    free(text);
    free(wire);
}

static void test_every_byte_once(void **state)
{
    static const struct {
        size_t len;
        unsigned flags;
        size_t most;
    } sizes[] = {
        {700, SCRIPTED_DRIP, 3},
        {700, SCRIPTED_DRIP | SCRIPTED_KEEP, 50},
        {3000, 0, 200},
        {300, SCRIPTED_KEEP, 1},
        {400 * 1000, 0, 30 * 1000}, /* several of libcurl's buffers, in pieces across its edges */
        {400 * 1000, SCRIPTED_KEEP, 7 * 1000},
    };
    (void)state;
    for (uint32_t seed = 1; seed <= 2; seed++)
        for (size_t i = 0; i < COUNT(sizes); i++)
            for (int how = RESUME_INSIDE; how <= RESUME_KINDS; how++)
                for (int in_chunks = 0; in_chunks <= 1; in_chunks++)
                    if (how != RESUME_LATE)
                        check_flow(sizes[i].len, in_chunks, sizes[i].flags, (enum resume_how)how,
                                   sizes[i].most, seed * 1000 + (uint32_t)how);
}

static size_t pause_once(void *arg, const void *data, size_t len)
{
    struct http_bench *b = arg;
    assert_false(taker.paused);
    if (taker.n_pauses++ == 0) {
        resume_somehow(&taker);
        return HTTP_PAUSE;
    }
    buf_append(&b->data, data, len);
    return len;
}

static void test_a_pause_is_no_stall(void **state)
{
    (void)state;
    static const struct scripted_answer answer = {"200 OK\r\n", "patience"};
    struct http_bench *b = bench_new(&answer, 1);
    taker = (struct taker){.b = b, .how = RESUME_LATE};
    bench_stream(b);
    b->events.on_data = pause_once;
    bench_go(b, "/");
    bench_succeeded(b, 200);
    assert_string_equal(buf_str(&b->data), "patience");
    bench_free(b, 1);
}

static size_t resume_for_nothing(void *arg, const void *data, size_t len)
{
    struct http_bench *b = arg;
    http_resume(b->call);
    buf_append(&b->data, data, len);
    return len;
}

/* The resume is still under way when the call ends, and the loop with it. */
static struct {
    struct loop *loop;
    size_t in_turn, most, total;
    unsigned turns;
    struct loop_task task;
} counter;

static void each_turn(void *arg)
{
    const struct http_bench *b = arg;
    counter.in_turn = 0;
    counter.turns++;
    if (b->n_done == 0)
        loop_post(counter.loop, &counter.task, each_turn, arg);
    else
        loop_stop(counter.loop);
}

static size_t count_in_turn(void *arg, const void *data, size_t len)
{
    (void)arg;
    (void)data;
    counter.total += len;
    counter.in_turn += len;
    if (counter.in_turn > counter.most)
        counter.most = counter.in_turn;
    return len;
}

/* However much there is to read: others get their turn. */
static void test_a_fast_answer_does_not_keep_others_waiting(void **state)
{
    (void)state;
    enum { LEN = 16 * 1024 * 1024 };
    char *text = letters(LEN);
    const struct scripted_answer answers[] = {{"200 OK\r\n", text}};
    struct http_bench *b = bench_new(answers, 1);
    bench_stream(b);
    b->events.on_data = count_in_turn;
    memset(&counter, 0, sizeof(counter));
    counter.loop = b->loop;
    loop_post(b->loop, &counter.task, each_turn, b);
    bench_go(b, "/");
    loop_run(b->loop); /* the last turn */
    assert_false(b->failed);
    assert_int_equal(counter.total, LEN);
    assert_true(counter.most <= 1024 * 1024);
    assert_true(counter.turns >= 16);
    bench_free(b, 1);
    free(text);
}

static void test_a_needless_resume_leaves_nothing_behind(void **state)
{
    (void)state;
    static const struct scripted_answer answer = {"200 OK\r\n", "all"};
    struct http_bench *b = bench_new(&answer, 1);
    bench_stream(b);
    b->events.on_data = resume_for_nothing;
    bench_go(b, "/");
    bench_succeeded(b, 200);
    assert_string_equal(buf_str(&b->data), "all");
    bench_free(b, 1);
}

/* ---- what the callbacks say no to ---- */

static int refuse_head(void *arg, const struct http_response *rsp, struct err *err)
{
    struct http_bench *b = arg;
    b->n_head++;
    return err_set(err, ERR_NETWORK, "not this one: %d", rsp->status);
}

/* Even with a code that would be tried again had the network said it. */
static void test_on_head_ends_the_exchange(void **state)
{
    (void)state;
    static const struct scripted_answer answer = {"206 Partial Content\r\n", "body"};
    struct http_bench *b = bench_new(&answer, 1);
    bench_stream(b);
    b->events.on_head = refuse_head;
    bench_go(b, "/");
    bench_failed(b, ERR_NETWORK, "not this one: 206");
    assert_int_equal(b->n_head, 1);
    assert_int_equal(b->data.len, 0);
    bench_free(b, 1);
}

static int refuse_to_prepare(void *arg, struct http_call *call, struct err *err)
{
    (void)call;
    struct http_bench *b = arg;
    b->n_prepare++;
    return err_set(err, ERR_CONFIG, "no credentials");
}

static void test_prepare_ends_the_exchange(void **state)
{
    (void)state;
    struct http_bench *b = bench_new(NULL, 0);
    b->events.prepare = refuse_to_prepare;
    bench_go(b, "/");
    bench_failed(b, ERR_CONFIG, "no credentials");
    assert_int_equal(b->n_prepare, 1);
    assert_false(b->answered);
    bench_free(b, 0);
}

/* ---- cancel ---- */

static void cancel(void *arg)
{
    struct http_bench *b = arg;
    http_cancel(b->call);
}

static void check_cancelled(struct http_bench *b)
{
    bench_failed(b, ERR_CANCELLED, "cancelled");
    assert_int_equal(b->n_done, 1);
}

static void test_cancel_before_the_start(void **state)
{
    (void)state;
    struct http_bench *b = bench_new(NULL, 0);
    b->events.prepare = refuse_to_prepare;
    bench_start(b, "/");
    http_cancel(b->call);
    assert_int_equal(b->n_done, 0); /* never from inside */
    bench_run(b);
    check_cancelled(b);
    assert_int_equal(b->n_prepare, 0);
    bench_start(b, "no URL at all");
    http_cancel(b->call);
    bench_run(b);
    check_cancelled(b);
    bench_free(b, 0);
}

static int cancel_in_prepare(void *arg, struct http_call *call, struct err *err)
{
    (void)err;
    struct http_bench *b = arg;
    b->n_prepare++;
    http_cancel(call);
    return 0;
}

static void test_cancel_in_prepare(void **state)
{
    (void)state;
    static const struct scripted_answer answer = {"200 OK\r\n", ""};
    struct http_bench *b = bench_new(&answer, 1);
    b->events.prepare = cancel_in_prepare;
    bench_go(b, "/");
    check_cancelled(b);
    assert_int_equal(b->n_prepare, 1);
    scripted_http_stop(b->server); /* whether the server saw it is not said */
    bench_free(b, scripted_http_stop(b->server));
}

static int refuse_and_cancel(void *arg, struct http_call *call, struct err *err)
{
    http_cancel(call);
    return refuse_to_prepare(arg, call, err);
}

static void test_cancel_and_refuse_in_prepare(void **state)
{
    (void)state;
    struct http_bench *b = bench_new(NULL, 0);
    b->events.prepare = refuse_and_cancel;
    bench_go(b, "/");
    assert_true(b->failed);
    bench_free(b, 0);
}

/* The client is connected to a server that does not answer, or is in the midst of an answer. */
static void test_cancel_by_timer(void **state)
{
    static const struct scripted_answer answers[] = {
        {NULL, NULL, SCRIPTED_HOLD},
        {"HTTP/1.1 200 OK\r\nContent-Le", "", SCRIPTED_RAW | SCRIPTED_HOLD},
        {"200 OK\r\nContent-Length: 100\r\n", "half", SCRIPTED_HOLD},
        {"200 OK\r\nTransfer-Encoding: chunked\r\n", "5\r\nhel", SCRIPTED_HOLD},
        {"404 Not Found\r\nContent-Length: 100\r\n", "half", SCRIPTED_HOLD},
        {"503 Busy\r\nRetry-After: 50\r\n", ""}, /* waits to try again */
    };
    (void)state;
    for (int stream = 0; stream <= 1; stream++) {
        struct http_bench *b = bench_new(answers, COUNT(answers));
        if (stream)
            bench_stream(b);
        for (size_t i = 0; i < COUNT(answers); i++) {
            struct loop_timer timer = {0};
            bench_start(b, "/");
            loop_timer_start(b->loop, &timer, 100, cancel, b);
            bench_run(b);
            check_cancelled(b);
        }
        bench_free(b, COUNT(answers));
    }
}

static size_t cancel_in_data(void *arg, const void *data, size_t len)
{
    struct http_bench *b = arg;
    http_cancel(b->call);
    b->events.on_data = NULL; /* a copy of no effect: on_data is not called again in any case */
    assert_int_equal(b->data.len, 0);
    buf_append(&b->data, data, 1);
    return taker.n_pauses == 0 ? len : taker.n_pauses == 1 ? 1 : HTTP_PAUSE;
}

static void test_cancel_in_on_data(void **state)
{
    (void)state;
    char *text = letters(300 * 1000);
    struct scripted_answer answers[] = {{"200 OK\r\n", text}, {"200 OK\r\n", "short"}};
    for (unsigned i = 0; i < 3; i++) {
        struct http_bench *b = bench_new(answers, 2);
        taker = (struct taker){.b = b, .n_pauses = i};
        for (int k = 0; k < 2; k++) {
            bench_stream(b);
            b->events.on_data = cancel_in_data;
            bench_go(b, "/");
            check_cancelled(b);
            assert_int_equal(b->data.len, 1);
        }
        bench_free(b, 2);
    }
    free(text);
}

static int cancel_in_head(void *arg, const struct http_response *rsp, struct err *err)
{
    struct http_bench *b = arg;
    (void)rsp;
    (void)err;
    b->n_head++;
    http_cancel(b->call);
    return 0;
}

static void test_cancel_in_on_head(void **state)
{
    (void)state;
    static const struct scripted_answer answers[] = {{"200 OK\r\n", "body"}, {"200 OK\r\n", ""}};
    struct http_bench *b = bench_new(answers, 2);
    bench_stream(b);
    b->events.on_head = cancel_in_head;
    for (int i = 0; i < 2; i++) {
        bench_go(b, "/");
        check_cancelled(b);
        assert_int_equal(b->n_head, 1);
        assert_int_equal(b->data.len, 0);
    }
    bench_free(b, 2);
}

static size_t pause_and_cancel_later(void *arg, const void *data, size_t len)
{
    struct http_bench *b = arg;
    (void)data;
    (void)len;
    assert_int_equal(taker.n_pauses++, 0);
    loop_timer_start(b->loop, &taker.timer, 20, cancel, b);
    return HTTP_PAUSE;
}

static void test_cancel_while_paused(void **state)
{
    (void)state;
    static const struct scripted_answer answers[] = {
        {"200 OK\r\n", "body"}, {"200 OK\r\nContent-Length: 100\r\n", "half", SCRIPTED_HOLD}};
    struct http_bench *b = bench_new(answers, 2);
    bench_stream(b);
    b->events.on_data = pause_and_cancel_later;
    for (int i = 0; i < 2; i++) {
        taker = (struct taker){.b = b};
        bench_go(b, "/");
        check_cancelled(b);
    }
    bench_free(b, 2);
}

static void cancel_too_late(struct http_bench *b, const struct http_response *rsp)
{
    if (rsp) { /* it is valid until on_done returns */
        http_resume((struct http_call *)rsp->call);
        http_cancel((struct http_call *)rsp->call);
    }
    (void)b;
}

static void test_cancel_in_on_done_is_too_late(void **state)
{
    (void)state;
    static const struct scripted_answer answers[] = {{"200 OK\r\n", "x"},
                                                     {"404 Not Found\r\n", ""}};
    struct http_bench *b = bench_new(answers, 2);
    b->at_done = cancel_too_late;
    bench_go(b, "/");
    bench_succeeded(b, 200);
    bench_go(b, "/");
    bench_failed(b, ERR_HTTP, "404");
    bench_free(b, 2);
}

/* One call's end cancels another, which may have ended in the same round. */
static struct pair {
    struct http_call *calls[2];
    int left;
    int n_done[2];
    struct loop *loop;
} pair;

static void end_of_pair(int i)
{
    pair.n_done[i]++;
    pair.calls[i] = NULL;
    if (pair.calls[1 - i])
        http_cancel(pair.calls[1 - i]);
    if (--pair.left == 0)
        loop_stop(pair.loop);
}

static void first_done(void *arg, const struct http_response *rsp, const struct err *err)
{
    (void)arg;
    (void)rsp;
    assert_true(!err || err->code == ERR_CANCELLED);
    end_of_pair(0);
}

static void second_done(void *arg, const struct http_response *rsp, const struct err *err)
{
    (void)arg;
    (void)rsp;
    assert_true(!err || err->code == ERR_CANCELLED);
    end_of_pair(1);
}

static void test_one_cancels_another(void **state)
{
    (void)state;
    static const struct scripted_answer answers[] = {{"200 OK\r\n", "x"}, {"200 OK\r\n", "y"}};
    for (int i = 0; i < 20; i++) {
        struct http_bench *b = bench_new(answers, 2);
        pair = (struct pair){.left = 2, .loop = b->loop};
        b->rq.url = scripted_http_url(b->server);
        pair.calls[0] =
            http_start(b->loop, &b->rq, &(struct http_events){.on_done = first_done}, b);
        pair.calls[1] =
            http_start(b->loop, &b->rq, &(struct http_events){.on_done = second_done}, b);
        bench_run(b);
        assert_int_equal(pair.n_done[0], 1);
        assert_int_equal(pair.n_done[1], 1);
        bench_free(b, scripted_http_stop(b->server));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_byte_once),
        cmocka_unit_test(test_a_pause_is_no_stall),
        cmocka_unit_test(test_a_fast_answer_does_not_keep_others_waiting),
        cmocka_unit_test(test_a_needless_resume_leaves_nothing_behind),
        cmocka_unit_test(test_on_head_ends_the_exchange),
        cmocka_unit_test(test_prepare_ends_the_exchange),
        cmocka_unit_test(test_cancel_before_the_start),
        cmocka_unit_test(test_cancel_in_prepare),
        cmocka_unit_test(test_cancel_and_refuse_in_prepare),
        cmocka_unit_test(test_cancel_by_timer),
        cmocka_unit_test(test_cancel_in_on_data),
        cmocka_unit_test(test_cancel_in_on_head),
        cmocka_unit_test(test_cancel_while_paused),
        cmocka_unit_test(test_cancel_in_on_done_is_too_late),
        cmocka_unit_test(test_one_cancels_another),
    };
    return cmocka_run_group_tests(tests, bench_init, NULL);
}
