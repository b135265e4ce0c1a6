/* SPDX-License-Identifier: Apache-2.0
 *
 * loop: see loop.h. One round: posted tasks, due timers, libcurl, finished exchanges, then a wait.
 */
#include "net/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/mem.h"
#include "net/net_private.h"
#include "net/origin.h"

/* Idle connections kept for reuse, of all hosts together. */
enum { IDLE_CONNECTIONS_MAX = 128 };

struct loop {
    CURLM *multi;              /* owned */
    struct origins *origins;   /* owned */
    struct loop_timer *timers; /* soonest first */
    bool stopping;

    pthread_mutex_t lock; /* guards the task list and `thread` */
    pthread_t thread;     /* who runs it */
    struct loop_task *first_task;
    struct loop_task **last_task; /* where the next one is linked */

    int signal_fd;    /* read end of the pipe, or -1 */
    sigset_t signals; /* that are written into it */
    void (*signal_fn)(void *arg, int signo);
    void *signal_arg;
};

/* Signals have no context: the write end of the one pipe there is, or -1. */
static volatile sig_atomic_t signal_pipe_in = -1;

struct loop *loop_new(struct err *err)
{
    CURLM *multi = curl_multi_init();
    if (!multi) {
        err_set(err, ERR_INTERNAL, "libcurl cannot be initialised");
        return NULL;
    }
    curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long)IDLE_CONNECTIONS_MAX);
    struct loop *loop = xcalloc(1, sizeof(*loop));
    loop->multi = multi;
    loop->thread = pthread_self();
    loop->origins = origins_new();
    pthread_mutex_init(&loop->lock, NULL);
    loop->last_task = &loop->first_task;
    loop->signal_fd = -1;
    return loop;
}

void loop_free(struct loop *loop)
{
    if (!loop)
        return;
    CHECK(!loop->first_task && !loop->timers);
    struct err ignored;
    if (loop->signal_fd >= 0)
        (void)!loop_on_signal(loop, NULL, NULL, &ignored);
    curl_multi_cleanup(loop->multi);
    origins_free(loop->origins);
    pthread_mutex_destroy(&loop->lock);
    free(loop);
}

CURLM *loop_multi(struct loop *loop)
{
    return loop->multi;
}

struct origins *loop_origins(struct loop *loop)
{
    return loop->origins;
}

void loop_stop(struct loop *loop)
{
    loop->stopping = true;
}

/* ---- timers ---- */

void loop_timer_start(struct loop *loop, struct loop_timer *timer, int64_t delay_ms,
                      void (*fn)(void *arg), void *arg)
{
    loop_timer_stop(loop, timer);
    timer->fn = fn;
    timer->arg = arg;
    timer->due_ms = clock_mono_ms() + (delay_ms > 0 ? delay_ms : 0);
    struct loop_timer **at = &loop->timers;
    while (*at && (*at)->due_ms <= timer->due_ms)
        at = &(*at)->next;
    timer->next = *at;
    timer->armed = true;
    *at = timer;
}

void loop_timer_stop(struct loop *loop, struct loop_timer *timer)
{
    if (!timer->armed)
        return;
    struct loop_timer **at = &loop->timers;
    while (*at != timer)
        at = &(*at)->next;
    *at = timer->next;
    timer->next = NULL;
    timer->armed = false;
}

static void run_timers(struct loop *loop)
{
    int64_t now = clock_mono_ms();
    while (loop->timers && loop->timers->due_ms <= now) {
        struct loop_timer *timer = loop->timers;
        loop_timer_stop(loop, timer);
        timer->fn(timer->arg);
    }
}

/* ---- tasks ---- */

void loop_post(struct loop *loop, struct loop_task *task, void (*fn)(void *arg), void *arg)
{
    task->fn = fn;
    task->arg = arg;
    task->next = NULL;
    pthread_mutex_lock(&loop->lock);
    bool first = !loop->first_task; /* else the loop is on its way already */
    *loop->last_task = task;
    loop->last_task = &task->next;
    /* Under the lock: once it is free, the loop may run the task and end. */
    if (first && !pthread_equal(pthread_self(), loop->thread))
        curl_multi_wakeup(loop->multi);
    pthread_mutex_unlock(&loop->lock);
}

static bool has_tasks(struct loop *loop)
{
    pthread_mutex_lock(&loop->lock);
    bool some = loop->first_task != NULL;
    pthread_mutex_unlock(&loop->lock);
    return some;
}

/* Only what was posted before the call: a task that posts another does not starve the network. */
static void run_tasks(struct loop *loop)
{
    pthread_mutex_lock(&loop->lock);
    struct loop_task *task = loop->first_task;
    loop->first_task = NULL;
    loop->last_task = &loop->first_task;
    pthread_mutex_unlock(&loop->lock);
    while (task) {
        struct loop_task *next = task->next;
        task->fn(task->arg);
        task = next;
    }
}

/* ---- signals ---- */

static void on_signal(int signo)
{
    int saved = errno;
    unsigned char byte = (unsigned char)signo;
    int fd = signal_pipe_in;
    /* A full pipe holds enough signals already. */
    if (fd >= 0)
        (void)!write(fd, &byte, 1);
    errno = saved;
}

static void run_signals(struct loop *loop)
{
    unsigned char signo;
    while (loop->signal_fd >= 0 && read(loop->signal_fd, &signo, 1) == 1)
        loop->signal_fn(loop->signal_arg, signo);
}

void loop_add_signal(struct loop *loop, int signo)
{
    const struct sigaction action = {.sa_handler = on_signal};
    CHECK(loop->signal_fd >= 0 && signo <= SIGTERM);
    sigaddset(&loop->signals, signo);
    sigaction(signo, &action, NULL);
}

int loop_on_signal(struct loop *loop, void (*fn)(void *arg, int signo), void *arg, struct err *err)
{
    if (!fn) {
        const struct sigaction standard = {.sa_handler = SIG_DFL};
        for (int signo = 1; signo <= SIGTERM; signo++)
            if (sigismember(&loop->signals, signo) == 1)
                sigaction(signo, &standard, NULL);
        int in = signal_pipe_in;
        signal_pipe_in = -1;
        close(in);
        close(loop->signal_fd);
        loop->signal_fd = -1;
        return 0;
    }
    CHECK(signal_pipe_in < 0);
    int fds[2];
    if (pipe(fds) < 0)
        return err_set_errno(err, ERR_INTERNAL, errno, "cannot make a pipe");
    for (int i = 0; i < 2; i++) {
        fcntl(fds[i], F_SETFD, FD_CLOEXEC);
        fcntl(fds[i], F_SETFL, O_NONBLOCK);
    }
    loop->signal_fd = fds[0];
    loop->signal_fn = fn;
    loop->signal_arg = arg;
    signal_pipe_in = fds[1];
    sigemptyset(&loop->signals);
    loop_add_signal(loop, SIGINT);
    loop_add_signal(loop, SIGTERM);
    return 0;
}

/* ---- the round ---- */

static int wait_ms(struct loop *loop)
{
    if (has_tasks(loop))
        return 0;
    if (!loop->timers)
        return 60 * 1000; /* anything that happens wakes the wait */
    int64_t left = loop->timers->due_ms - clock_mono_ms();
    return left <= 0 ? 0 : left > 60 * 1000 ? 60 * 1000 : (int)left;
}

static void run_network(struct loop *loop)
{
    int running;
    CURLMcode code = curl_multi_perform(loop->multi, &running);
    CHECK(code == CURLM_OK);
    CURLMsg *msg;
    while ((msg = curl_multi_info_read(loop->multi, &running)))
        if (msg->msg == CURLMSG_DONE)
            http_easy_done(msg->easy_handle, msg->data.result);
}

void loop_run(struct loop *loop)
{
    loop->stopping = false;
    pthread_mutex_lock(&loop->lock);
    loop->thread = pthread_self();
    pthread_mutex_unlock(&loop->lock);
    while (!loop->stopping) {
        run_tasks(loop);
        run_timers(loop);
        run_network(loop);
        run_signals(loop);
        if (loop->stopping)
            break;
        struct curl_waitfd fd = {.fd = loop->signal_fd, .events = CURL_WAIT_POLLIN};
        unsigned n_fds = loop->signal_fd >= 0 ? 1 : 0;
        CHECK(curl_multi_poll(loop->multi, &fd, n_fds, wait_ms(loop), NULL) == CURLM_OK);
    }
}
