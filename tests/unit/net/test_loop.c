/* SPDX-License-Identifier: Apache-2.0
 *
 * Timers, tasks and signals of a loop: what is called, how often, in which order.
 */
#include "net/loop.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/clock.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct scene {
    struct loop *loop;
    char calls[64]; /* a letter per call */
    struct loop_timer timer;
    struct loop_task task;
    int left;
};

/* What a timer or a task carries: its letter, and where to write it. */
struct letter {
    struct scene *scene;
    char is;
    struct loop_timer timer;
    struct loop_task task;
};

static void note(struct scene *s, char c)
{
    size_t n = strlen(s->calls);
    assert_true(n + 1 < sizeof(s->calls));
    s->calls[n] = c;
}

static void write_letter(void *arg)
{
    struct letter *l = arg;
    note(l->scene, l->is);
}

static void stop(void *arg)
{
    struct scene *s = arg;
    loop_stop(s->loop);
}

static int scene_new(void **state)
{
    static struct scene scene;
    struct err err = {0};
    memset(&scene, 0, sizeof(scene));
    scene.loop = loop_new(&err);
    *state = &scene;
    return scene.loop ? 0 : -1;
}

static int scene_free(void **state)
{
    struct scene *s = *state;
    loop_free(s->loop);
    return 0;
}

static void start_letter(struct letter *l, int64_t delay_ms)
{
    loop_timer_start(l->scene->loop, &l->timer, delay_ms, write_letter, l);
}

/* ---- timers ---- */

static void test_timers_come_in_order(void **state)
{
    struct scene *s = *state;
    struct letter letters[] = {{s, 'a'}, {s, 'b'}, {s, 'c'}, {s, 'd'}, {s, 'e'}};
    static const int64_t delays_ms[] = {30, 0, 30, 15, 40};
    int64_t begun_ms = clock_mono_ms();
    for (size_t i = 0; i < COUNT(letters); i++)
        start_letter(&letters[i], delays_ms[i]);
    /* Soonest first; of those due at the same time, the one armed first. */
    char expected[COUNT(letters) + 1] = "";
    int64_t last_ms = 0;
    for (size_t n = 0; n < COUNT(letters); n++) {
        const struct letter *soonest = NULL;
        for (size_t i = 0; i < COUNT(letters); i++)
            if (!strchr(expected, letters[i].is) &&
                (!soonest || letters[i].timer.due_ms < soonest->timer.due_ms))
                soonest = &letters[i];
        expected[n] = soonest->is;
        last_ms = soonest->timer.due_ms;
    }
    loop_timer_start(s->loop, &s->timer, 60, stop, s);
    loop_run(s->loop);
    assert_string_equal(s->calls, expected);
    assert_true(clock_mono_ms() >= last_ms);
    assert_true(clock_mono_ms() - begun_ms >= 60);
    assert_false(letters[0].timer.armed);
}

static void test_a_negative_delay_is_none(void **state)
{
    struct scene *s = *state;
    loop_timer_start(s->loop, &s->timer, -5000, stop, s);
    assert_true(s->timer.due_ms <= clock_mono_ms());
    assert_true(s->timer.due_ms > 0);
    loop_run(s->loop);
}

static void test_a_started_timer_moves(void **state)
{
    enum { HOUR_MS = 60 * 60 * 1000 };
    struct scene *s = *state;
    struct letter a = {s, 'a'}, b = {s, 'b'}, c = {s, 'c'};
    start_letter(&a, 0);
    start_letter(&b, 0);
    start_letter(&c, HOUR_MS);
    start_letter(&a, HOUR_MS); /* later: not in this test */
    start_letter(&c, 0);       /* sooner */
    loop_timer_start(s->loop, &s->timer, 0, stop, s);
    loop_run(s->loop);
    assert_string_equal(s->calls, "bc");
    assert_true(a.timer.armed);
    loop_timer_stop(s->loop, &a.timer);
}

static void test_a_stopped_timer_is_silent(void **state)
{
    struct scene *s = *state;
    struct letter a = {s, 'a'}, b = {s, 'b'}, c = {s, 'c'};
    start_letter(&a, 0);
    start_letter(&b, 0);
    start_letter(&c, 0);
    loop_timer_stop(s->loop, &b.timer);
    loop_timer_stop(s->loop, &b.timer); /* twice does no harm */
    loop_timer_start(s->loop, &s->timer, 5, stop, s);
    loop_run(s->loop);
    assert_string_equal(s->calls, "ac");
}

static void stop_timer_of_other(void *arg)
{
    struct letter *other = arg;
    note(other->scene, '!');
    loop_timer_stop(other->scene->loop, &other->timer);
}

static void test_a_due_timer_can_be_stopped_by_another(void **state)
{
    struct scene *s = *state;
    struct letter a = {s, 'a'};
    struct loop_timer killer = {0};
    loop_timer_start(s->loop, &killer, 0, stop_timer_of_other, &a);
    start_letter(&a, 0);
    loop_timer_start(s->loop, &s->timer, 5, stop, s);
    loop_run(s->loop);
    assert_string_equal(s->calls, "!");
}

static void again(void *arg)
{
    struct scene *s = arg;
    note(s, 't');
    if (--s->left)
        loop_timer_start(s->loop, &s->timer, 1, again, s);
    else
        loop_stop(s->loop);
}

static void test_a_timer_arms_itself_again(void **state)
{
    struct scene *s = *state;
    s->left = 5;
    loop_timer_start(s->loop, &s->timer, 0, again, s);
    loop_run(s->loop);
    assert_string_equal(s->calls, "ttttt");
}

/* ---- tasks ---- */

static void test_tasks_come_in_order_and_once(void **state)
{
    struct scene *s = *state;
    struct letter letters[26];
    for (size_t i = 0; i < COUNT(letters); i++) {
        letters[i] = (struct letter){.scene = s, .is = (char)('a' + i)};
        loop_post(s->loop, &letters[i].task, write_letter, &letters[i]);
    }
    assert_string_equal(s->calls, ""); /* never from inside loop_post() */
    loop_timer_start(s->loop, &s->timer, 5, stop, s);
    loop_run(s->loop);
    assert_string_equal(s->calls, "abcdefghijklmnopqrstuvwxyz");
}

static void post_again(void *arg)
{
    struct scene *s = arg;
    note(s, 'p');
    if (--s->left)
        loop_post(s->loop, &s->task, post_again, s);
    else
        loop_stop(s->loop);
}

/* The same task posts itself, with nothing else to wake the loop. */
static void test_a_task_posts_itself(void **state)
{
    struct scene *s = *state;
    s->left = 6;
    loop_post(s->loop, &s->task, post_again, s);
    loop_run(s->loop);
    assert_string_equal(s->calls, "pppppp");
}

static void test_a_busy_task_does_not_starve_timers(void **state)
{
    struct scene *s = *state;
    struct letter a = {s, 'a'};
    start_letter(&a, 0);
    struct loop_timer end = {0};
    loop_timer_start(s->loop, &end, 0, stop, s);
    s->left = 30;
    loop_post(s->loop, &s->task, post_again, s);
    loop_run(s->loop);
    assert_string_equal(s->calls, "pa"); /* the timers' turn came after one round of tasks */
    loop_run(s->loop);
}

static void test_run_goes_on_where_it_stopped(void **state)
{
    struct scene *s = *state;
    struct letter a = {s, 'a'}, b = {s, 'b'};
    loop_post(s->loop, &s->task, stop, s);
    start_letter(&a, 60 * 60 * 1000);
    loop_run(s->loop);
    assert_string_equal(s->calls, "");
    assert_true(a.timer.armed);
    loop_post(s->loop, &b.task, write_letter, &b);
    start_letter(&a, 0);
    loop_timer_start(s->loop, &s->timer, 0, stop, s);
    loop_run(s->loop);
    assert_string_equal(s->calls, "ba");
}

/* ---- other threads ---- */

enum { THREADS = 4, POSTS = 500 };

struct poster {
    struct counter *counter;
    struct loop_task tasks[POSTS];
    pthread_t thread;
};

struct counter {
    struct loop *loop;
    pthread_t thread;
    size_t calls;
    size_t next[THREADS]; /* which of its tasks is due: the order of one thread holds */
    struct poster posters[THREADS];
};

static struct counter counter;

static void count_one(void *arg)
{
    struct loop_task *task = arg;
    assert_true(pthread_equal(pthread_self(), counter.thread));
    for (size_t i = 0; i < THREADS; i++)
        if (task >= counter.posters[i].tasks && task < counter.posters[i].tasks + POSTS)
            assert_int_equal(task - counter.posters[i].tasks, counter.next[i]++);
    if (++counter.calls == (size_t)THREADS * POSTS)
        loop_stop(counter.loop);
}

static void *post_many(void *arg)
{
    struct poster *p = arg;
    for (size_t i = 0; i < POSTS; i++)
        loop_post(counter.loop, &p->tasks[i], count_one, &p->tasks[i]);
    return NULL;
}

static void test_threads_post(void **state)
{
    struct scene *s = *state;
    memset(&counter, 0, sizeof(counter));
    counter.loop = s->loop;
    counter.thread = pthread_self();
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(
            pthread_create(&counter.posters[i].thread, NULL, post_many, &counter.posters[i]), 0);
    loop_run(s->loop);
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(counter.posters[i].thread, NULL);
        assert_int_equal(counter.next[i], POSTS);
    }
}

/* To and fro: each side waits for the other, so that a lost wake-up would hang. */
struct rally {
    struct loop *loop;
    struct loop_task task;
    int pipe[2];
    int left;
};

static void return_ball(void *arg)
{
    struct rally *r = arg;
    assert_int_equal(write(r->pipe[1], "o", 1), 1);
    if (--r->left == 0)
        loop_stop(r->loop);
}

static void *serve_balls(void *arg)
{
    struct rally *r = arg;
    char byte;
    for (int i = r->left; i > 0; i--) {
        loop_post(r->loop, &r->task, return_ball, r);
        if (read(r->pipe[0], &byte, 1) != 1)
            break;
    }
    return NULL;
}

static void test_a_waiting_loop_is_woken(void **state)
{
    struct scene *s = *state;
    struct rally rally = {.loop = s->loop, .left = 300};
    pthread_t thread;
    assert_int_equal(pipe(rally.pipe), 0);
    assert_int_equal(pthread_create(&thread, NULL, serve_balls, &rally), 0);
    loop_run(s->loop);
    pthread_join(thread, NULL);
    close(rally.pipe[0]);
    close(rally.pipe[1]);
    assert_int_equal(rally.left, 0);
}

static void *run_loop(void *arg)
{
    loop_run(arg);
    return NULL;
}

/* The loop's own thread is the one that runs it, not the one that made it. */
static void test_the_maker_posts_to_a_runner(void **state)
{
    struct scene *s = *state;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, run_loop, s->loop), 0);
    loop_post(s->loop, &s->task, stop, s);
    pthread_join(thread, NULL);
}

/* ---- signals ---- */

static void on_signal(void *arg, int signo)
{
    struct scene *s = arg;
    note(s, signo == SIGINT ? 'I' : signo == SIGTERM ? 'T' : '?');
    if (--s->left == 0)
        loop_stop(s->loop);
}

static void send_signal(void *arg)
{
    assert_int_equal(kill(getpid(), *(int *)arg), 0);
}

static void test_signals(void **state)
{
    struct scene *s = *state;
    struct err err = {0};
    int sigint = SIGINT, sigterm = SIGTERM;
    struct loop_timer first = {0}, second = {0};
    assert_int_equal(loop_on_signal(s->loop, on_signal, s, &err), 0);
    s->left = 2;
    loop_timer_start(s->loop, &first, 0, send_signal, &sigint);
    loop_timer_start(s->loop, &second, 10, send_signal, &sigterm);
    loop_run(s->loop);
    assert_string_equal(s->calls, "IT");

    /* Between two runs, too: it waits in the pipe. */
    send_signal(&sigterm);
    s->left = 1;
    loop_run(s->loop);
    assert_string_equal(s->calls, "ITT");
}

static void *kill_from_thread(void *arg)
{
    (void)arg;
    kill(getpid(), SIGTERM);
    return NULL;
}

/* The wait has no timer and no task: only the signal ends it. */
static void test_a_signal_ends_the_wait(void **state)
{
    struct scene *s = *state;
    struct err err = {0};
    pthread_t thread;
    assert_int_equal(loop_on_signal(s->loop, on_signal, s, &err), 0);
    s->left = 1;
    assert_int_equal(pthread_create(&thread, NULL, kill_from_thread, NULL), 0);
    loop_run(s->loop);
    pthread_join(thread, NULL);
    assert_string_equal(s->calls, "T");
}

static void remove_handler(void *arg, int signo)
{
    struct scene *s = arg;
    struct err err = {0};
    (void)signo;
    note(s, 'S');
    assert_int_equal(loop_on_signal(s->loop, NULL, NULL, &err), 0);
    loop_stop(s->loop);
}

static void test_signals_are_given_back(void **state)
{
    struct scene *s = *state;
    struct err err = {0};
    int sigint = SIGINT;
    struct sigaction now;
    assert_int_equal(loop_on_signal(s->loop, remove_handler, s, &err), 0);
    assert_int_equal(sigaction(SIGINT, NULL, &now), 0);
    assert_ptr_not_equal(now.sa_handler, SIG_DFL);
    send_signal(&sigint);
    send_signal(&sigint);
    loop_run(s->loop);
    assert_string_equal(s->calls, "S"); /* the second one came too late for a handler */
    assert_int_equal(sigaction(SIGINT, NULL, &now), 0);
    assert_ptr_equal(now.sa_handler, SIG_DFL);
    assert_int_equal(sigaction(SIGTERM, NULL, &now), 0);
    assert_ptr_equal(now.sa_handler, SIG_DFL);

    /* And can be taken again. loop_free() gives them back by itself. */
    assert_int_equal(loop_on_signal(s->loop, on_signal, s, &err), 0);
    s->left = 1;
    send_signal(&sigint);
    loop_run(s->loop);
    assert_string_equal(s->calls, "SI");
}

int main(void)
{
#define SCENE(test) cmocka_unit_test_setup_teardown(test, scene_new, scene_free)
    const struct CMUnitTest tests[] = {
        SCENE(test_timers_come_in_order),
        SCENE(test_a_negative_delay_is_none),
        SCENE(test_a_started_timer_moves),
        SCENE(test_a_stopped_timer_is_silent),
        SCENE(test_a_due_timer_can_be_stopped_by_another),
        SCENE(test_a_timer_arms_itself_again),
        SCENE(test_tasks_come_in_order_and_once),
        SCENE(test_a_task_posts_itself),
        SCENE(test_a_busy_task_does_not_starve_timers),
        SCENE(test_run_goes_on_where_it_stopped),
        SCENE(test_threads_post),
        SCENE(test_a_waiting_loop_is_woken),
        SCENE(test_the_maker_posts_to_a_runner),
        SCENE(test_signals),
        SCENE(test_a_signal_ends_the_wait),
        SCENE(test_signals_are_given_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
