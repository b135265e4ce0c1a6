/* SPDX-License-Identifier: Apache-2.0
 *
 * loop: see loop.h. One round: posted tasks, due timers, what libcurl has waited for, finished
 * exchanges, then a wait.
 *
 * libcurl tells which sockets it wants to know of, and epoll which of them are ready: the cost of a
 * round is that of what has happened in it. curl_multi_perform() looks at every transfer there is,
 * with a poll() for each: 256 small outputs at a time, 30 ms of latency, took 1.5 times as long so.
 */
#include "net/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/mem.h"
#include "net/connection.h"
#include "net/net_private.h"
#include "net/origin.h"

enum {
    EVENTS_MAX = 128, /* of a round; others are in the next */
    WAIT_MAX_MS = 60 * 1000,
};

struct loop {
    CURLM *multi;                       /* owned */
    int64_t multi_due_ms;               /* when it wants to be called, of clock_mono_ms(); or -1 */
    int epoll_fd;                       /* its sockets, wake_fd and signal_fd */
    int wake_fd;                        /* an eventfd: another thread has posted something */
    struct origins *origins;            /* owned */
    struct connection_list connections; /* idle ones */
    char *scratch;                      /* owned */
    CURLSH *share;                      /* owned: TLS sessions */
    struct epoll_event *events;         /* of the round, those not yet told; n_events of them */
    int n_events;
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

/* ---- libcurl's sockets and its timer ---- */

/* What an event belongs to: a struct loop_watch, or (odd, as no address is) a bare descriptor. */
static uint64_t key_of_fd(int fd)
{
    return (uint64_t)fd << 1 | 1;
}

static int watch(struct loop *loop, int operation, int fd, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.u64 = key_of_fd(fd)};
    return epoll_ctl(loop->epoll_fd, operation, fd, &event);
}

/* libcurl: what it waits for at a socket has changed. `known`: set below, NULL for a new one. */
static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
    (void)easy;
    struct loop *loop = arg;
    if (what == CURL_POLL_REMOVE) { /* it fails when the socket has been closed */
        (void)watch(loop, EPOLL_CTL_DEL, fd, 0);
        return 0;
    }
    uint32_t events = (what & CURL_POLL_IN ? EPOLLIN : 0) | (what & CURL_POLL_OUT ? EPOLLOUT : 0);
    CHECK(watch(loop, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, events) == 0);
    curl_multi_assign(loop->multi, fd, loop);
    return 0;
}

/* libcurl: when it wants to be called though nothing happens; -1: not at all. */
static int on_multi_timer(CURLM *multi, long timeout_ms, void *arg)
{
    (void)multi;
    struct loop *loop = arg;
    /* Never early, though now is cut off to milliseconds. */
    loop->multi_due_ms = timeout_ms < 0 ? -1 : clock_mono_ms() + timeout_ms + (timeout_ms > 0);
    return 0;
}

/* ---- descriptors of ours ---- */

static void watch_own(struct loop *loop, int operation, const struct loop_watch *own)
{
    struct epoll_event event = {.events = own->events, .data.u64 = (uintptr_t)own};
    CHECK(epoll_ctl(loop->epoll_fd, operation, own->fd, &event) == 0);
}

void loop_watch(struct loop *loop, struct loop_watch *own, int fd, uint32_t events,
                void (*fn)(void *arg, uint32_t events), void *arg)
{
    *own = (struct loop_watch){.fn = fn, .arg = arg, .fd = fd, .events = events};
    watch_own(loop, EPOLL_CTL_ADD, own);
}

void loop_watch_for(struct loop *loop, struct loop_watch *own, uint32_t events)
{
    CHECK(own->fn);
    if (own->events == events)
        return;
    if (!events) { /* epoll tells of errors and ends whatever it was asked for, again and again */
        loop_unwatch(loop, own);
        return;
    }
    int operation = own->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    own->events = events;
    watch_own(loop, operation, own);
}

void loop_unwatch(struct loop *loop, struct loop_watch *own)
{
    if (!own->events)
        return;
    watch_own(loop, EPOLL_CTL_DEL, own);
    own->events = 0;
    for (int i = 0; i < loop->n_events; i++)
        if (loop->events[i].data.u64 == (uintptr_t)own)
            loop->events[i].events = 0;
}

static void set_up_multi(struct loop *loop)
{
    curl_multi_setopt(loop->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(loop->multi, CURLMOPT_SOCKETDATA, loop);
    curl_multi_setopt(loop->multi, CURLMOPT_TIMERFUNCTION, on_multi_timer);
    curl_multi_setopt(loop->multi, CURLMOPT_TIMERDATA, loop);
}

/* ---- life ---- */

static void free_loop(struct loop *loop)
{
    curl_multi_cleanup(loop->multi); /* tells of its sockets */
    curl_share_cleanup(loop->share);
    if (loop->epoll_fd >= 0)
        close(loop->epoll_fd);
    if (loop->wake_fd >= 0)
        close(loop->wake_fd);
    free(loop->scratch);
    free(loop);
}

struct loop *loop_new(struct err *err)
{
    struct loop *loop = xcalloc(1, sizeof(*loop));
    loop->multi = curl_multi_init();
    loop->share = curl_share_init();
    loop->multi_due_ms = -1;
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    loop->signal_fd = -1;
    if (loop->epoll_fd < 0 || loop->wake_fd < 0 ||
        watch(loop, EPOLL_CTL_ADD, loop->wake_fd, EPOLLIN) < 0) {
        err_set_errno(err, ERR_INTERNAL, errno, "the network cannot be waited for");
        free_loop(loop);
        return NULL;
    }
    if (!loop->multi || !loop->share) {
        err_set(err, ERR_INTERNAL, "libcurl cannot be initialised");
        free_loop(loop);
        return NULL;
    }
    set_up_multi(loop);
    curl_share_setopt(loop->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
    loop->thread = pthread_self();
    loop->origins = origins_new();
    pthread_mutex_init(&loop->lock, NULL);
    loop->last_task = &loop->first_task;
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
    connections_close_idle(loop);
    origins_free(loop->origins);
    pthread_mutex_destroy(&loop->lock);
    free_loop(loop);
}

CURLM *loop_multi(struct loop *loop)
{
    return loop->multi;
}

CURLSH *loop_share(struct loop *loop)
{
    return loop->share;
}

struct origins *loop_origins(struct loop *loop)
{
    return loop->origins;
}

struct connection_list *loop_idle_connections(struct loop *loop)
{
    return &loop->connections;
}

char *loop_scratch(struct loop *loop)
{
    if (!loop->scratch)
        loop->scratch = xrealloc(NULL, LOOP_SCRATCH);
    return loop->scratch;
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
    const uint64_t one = 1;
    if (first && !pthread_equal(pthread_self(), loop->thread))
        (void)!write(loop->wake_fd, &one, sizeof(one)); /* fails when it is full of them */
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
    CHECK(watch(loop, EPOLL_CTL_ADD, fds[0], EPOLLIN) == 0);
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
    int64_t now_ms = clock_mono_ms(), left = WAIT_MAX_MS; /* whatever happens wakes the wait */
    if (loop->timers && loop->timers->due_ms - now_ms < left)
        left = loop->timers->due_ms - now_ms;
    if (loop->multi_due_ms >= 0 && loop->multi_due_ms - now_ms < left)
        left = loop->multi_due_ms - now_ms;
    return left > 0 ? (int)left : 0;
}

static void run_multi(struct loop *loop, curl_socket_t fd, int ready)
{
    int running;
    CHECK(curl_multi_socket_action(loop->multi, fd, ready, &running) == CURLM_OK);
}

static void run_multi_timer(struct loop *loop)
{
    if (loop->multi_due_ms < 0 || loop->multi_due_ms > clock_mono_ms())
        return;
    loop->multi_due_ms = -1; /* it tells anew */
    run_multi(loop, CURL_SOCKET_TIMEOUT, 0);
}

static void end_exchanges(struct loop *loop)
{
    int left;
    CURLMsg *msg;
    while ((msg = curl_multi_info_read(loop->multi, &left)))
        if (msg->msg == CURLMSG_DONE) {
            char *private = NULL;
            curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &private);
            const struct easy_owner *owner = (struct easy_owner *)(void *)private;
            owner->done(owner->arg, msg->data.result);
        }
}

static void run_event(struct loop *loop, const struct epoll_event *event)
{
    if (!event->events) /* not watched any more */
        return;
    if (!(event->data.u64 & 1)) {
        const struct loop_watch *own = (struct loop_watch *)(uintptr_t)event->data.u64;
        own->fn(own->arg, event->events);
        return;
    }
    int fd = (int)(event->data.u64 >> 1);
    if (fd == loop->wake_fd) {
        uint64_t times;
        (void)!read(fd, &times, sizeof(times));
    } else if (fd == loop->signal_fd) {
        run_signals(loop);
    } else {
        int ready = (event->events & EPOLLIN ? CURL_CSELECT_IN : 0) |
                    (event->events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
                    (event->events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);
        run_multi(loop, fd, ready);
    }
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
        run_multi_timer(loop);
        end_exchanges(loop);
        if (loop->stopping)
            break;
        struct epoll_event events[EVENTS_MAX];
        int n = epoll_wait(loop->epoll_fd, events, EVENTS_MAX, wait_ms(loop));
        CHECK(n >= 0 || errno == EINTR);
        loop->events = events;
        loop->n_events = n;
        for (int i = 0; i < n; i++)
            run_event(loop, &events[i]);
        loop->n_events = 0;
        end_exchanges(loop);
    }
}
