/* SPDX-License-Identifier: Apache-2.0
 *
 * httpd_watch: ends connections that take too long. libmicrohttpd's own timeout begins anew with
 * every byte, so that a byte a second holds a connection for ever; here each phase has an end:
 *
 *   FRESH, RECEIVING   request_timeout, in one: from accept to the end of the first request
 *   RECEIVING          request_timeout from the request line of a further one
 *   SENDING            request_timeout: a client that does not read
 *   IDLE               idle_timeout; a request line that drips in is in it too
 *
 * Why it cannot hit the wrong one: a connection's file descriptor stays open until libmicrohttpd's
 * thread has been through httpd_watch_remove(), which takes the lock that is held here from looking
 * at a connection to shutting it down. The descriptor's number is therefore never another's. Both
 * sides change the phase under that lock: what was dropped is not handed to on_request any more,
 * and what was handed over is not dropped before its answer. libmicrohttpd sees the end of the
 * stream, as if the client had hung up, and closes. The 408 cannot get between the bytes of an
 * answer: it is sent only while none is under way.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "core/clock.h"
#include "core/mem.h"
#include "ingress/httpd_private.h"

enum {
    TICKS = 8, /* looks in the shorter of the two timeouts */
    TICK_MIN_MS = 10,
    TICK_MAX_MS = 1000,
};

#define TIMED_OUT                                                                                  \
    "{\"status\":\"rejected\",\"error\":\"timeout\","                                              \
    "\"message\":\"the request did not arrive in time\"}"

struct httpd_watch {
    int64_t request_ms, idle_ms, tick_ms;
    atomic_uint_fast64_t *timed_out; /* borrowed: outlives the watch */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;     /* the thread's: the first connection, or the end */
    pthread_cond_t answered; /* under_way came to 0 */
    /* under the lock */
    struct httpd_watched *first;
    unsigned under_way; /* HTTPD_ASKED or HTTPD_SENDING */
    bool ending;
};

static bool is_under_way(enum httpd_phase phase)
{
    return phase == HTTPD_ASKED || phase == HTTPD_SENDING;
}

static void enter_phase(struct httpd_watch *w, struct httpd_watched *c, enum httpd_phase phase)
{
    w->under_way += is_under_way(phase);
    w->under_way -= is_under_way(c->phase);
    if (w->under_way == 0 && is_under_way(c->phase))
        pthread_cond_broadcast(&w->answered);
    c->phase = phase;
}

static void drop(struct httpd_watch *w, struct httpd_watched *c)
{
    static const char answer[] = "HTTP/1.1 408 Request Timeout\r\n"
                                 "Connection: close\r\n"
                                 "Content-Type: application/json\r\n"
                                 "Content-Length: 86\r\n\r\n" TIMED_OUT;
    _Static_assert(sizeof(TIMED_OUT) - 1 == 86, "the length above");
    if (c->phase == HTTPD_FRESH || c->phase == HTTPD_RECEIVING)
        (void)send(c->fd, answer, sizeof(answer) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (c->phase != HTTPD_IDLE)
        atomic_fetch_add(w->timed_out, 1);
    (void)shutdown(c->fd, SHUT_RDWR);
    enter_phase(w, c, HTTPD_DROPPED);
    c->deadline_ms = INT64_MAX;
}

static void wait_a_tick(struct httpd_watch *w)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += w->tick_ms / 1000;
    until.tv_nsec += w->tick_ms % 1000 * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_cond_timedwait(&w->wake, &w->lock, &until);
}

static void *watch(void *arg)
{
    struct httpd_watch *w = arg;
    pthread_mutex_lock(&w->lock);
    while (!w->ending) {
        if (!w->first) {
            pthread_cond_wait(&w->wake, &w->lock);
            continue;
        }
        wait_a_tick(w);
        int64_t now = clock_mono_ms();
        for (struct httpd_watched *c = w->first; c; c = c->next)
            if (c->deadline_ms <= now)
                drop(w, c);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

struct httpd_watch *httpd_watch_start(const struct httpd_config *config,
                                      atomic_uint_fast64_t *timed_out, struct err *err)
{
    struct httpd_watch *w = xcalloc(1, sizeof(*w));
    w->request_ms = config->request_timeout_ms;
    w->idle_ms = config->idle_timeout_ms;
    w->tick_ms = (w->request_ms < w->idle_ms ? w->request_ms : w->idle_ms) / TICKS;
    if (w->tick_ms < TICK_MIN_MS)
        w->tick_ms = TICK_MIN_MS;
    if (w->tick_ms > TICK_MAX_MS)
        w->tick_ms = TICK_MAX_MS;
    w->timed_out = timed_out;
    pthread_condattr_t attributes;
    CHECK(pthread_condattr_init(&attributes) == 0);
    CHECK(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0);
    CHECK(pthread_mutex_init(&w->lock, NULL) == 0);
    CHECK(pthread_cond_init(&w->wake, &attributes) == 0);
    CHECK(pthread_cond_init(&w->answered, &attributes) == 0);
    pthread_condattr_destroy(&attributes);
    int failed = pthread_create(&w->thread, NULL, watch, w);
    if (failed == 0)
        return w;
    err_set_errno(err, ERR_IO, failed, "cannot start a thread of the HTTP server");
    pthread_cond_destroy(&w->answered);
    pthread_cond_destroy(&w->wake);
    pthread_mutex_destroy(&w->lock);
    free(w);
    return NULL;
}

void httpd_watch_stop(struct httpd_watch *watch)
{
    if (!watch)
        return;
    pthread_mutex_lock(&watch->lock);
    CHECK(!watch->first);
    watch->ending = true;
    pthread_cond_signal(&watch->wake);
    pthread_mutex_unlock(&watch->lock);
    pthread_join(watch->thread, NULL);
    pthread_cond_destroy(&watch->answered);
    pthread_cond_destroy(&watch->wake);
    pthread_mutex_destroy(&watch->lock);
    free(watch);
}

void httpd_watch_add(struct httpd_watch *watch, struct httpd_watched *watched, int fd)
{
    *watched = (struct httpd_watched){
        .fd = fd, .phase = HTTPD_FRESH, .deadline_ms = clock_mono_ms() + watch->request_ms};
    pthread_mutex_lock(&watch->lock);
    watched->next = watch->first;
    if (watch->first)
        watch->first->prev = watched;
    else
        pthread_cond_signal(&watch->wake);
    watch->first = watched;
    pthread_mutex_unlock(&watch->lock);
}

void httpd_watch_remove(struct httpd_watch *watch, struct httpd_watched *watched)
{
    pthread_mutex_lock(&watch->lock);
    enter_phase(watch, watched, HTTPD_DROPPED);
    *(watched->prev ? &watched->prev->next : &watch->first) = watched->next;
    if (watched->next)
        watched->next->prev = watched->prev;
    pthread_mutex_unlock(&watch->lock);
}

bool httpd_watch_set(struct httpd_watch *watch, struct httpd_watched *watched,
                     enum httpd_phase phase)
{
    int64_t now = phase == HTTPD_ASKED ? 0 : clock_mono_ms();
    pthread_mutex_lock(&watch->lock);
    bool alive = watched->phase != HTTPD_DROPPED;
    if (alive) {
        if (phase == HTTPD_ASKED)
            watched->deadline_ms = INT64_MAX;
        else if (phase == HTTPD_IDLE)
            watched->deadline_ms = now + watch->idle_ms;
        else if (watched->phase != HTTPD_FRESH) /* its time has begun at accept */
            watched->deadline_ms = now + watch->request_ms;
        enter_phase(watch, watched, phase);
    }
    pthread_mutex_unlock(&watch->lock);
    return alive;
}

void httpd_watch_wait(struct httpd_watch *watch)
{
    pthread_mutex_lock(&watch->lock);
    while (watch->under_way > 0)
        pthread_cond_wait(&watch->answered, &watch->lock);
    pthread_mutex_unlock(&watch->lock);
}
