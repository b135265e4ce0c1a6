/* SPDX-License-Identifier: Apache-2.0
 *
 * connection: see connection.h. A handle of libcurl's is one connection for its whole life: it
 * stays in the multi, where curl_easy_send() and curl_easy_recv() find what belongs to it.
 */
#include "net/connection.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "core/clock.h"
#include "core/mem.h"

enum {
    /* Of all hosts together: with --concurrency 256 each job has one at the source and one at the
     * store. */
    IDLE_MAX = 512,
    /* What stands on the way (a load balancer, a NAT) forgets idle connections without a word.
     * libcurl's own limit. */
    IDLE_MAX_MS = 118 * 1000,
};

struct connection {
    struct loop *loop;
    char *way;  /* owned */
    CURL *easy; /* owned */
    struct easy_owner owner;
    struct loop_watch watch;
    bool open;
    bool bare; /* what goes over it is what is on the socket */
    struct connection_events events;
    void *arg;
    char error[CURL_ERROR_SIZE];

    bool idle;
    int64_t idle_since_ms;
    struct connection *newer, *older; /* among the idle ones */
};

static void take_out(struct connection *connection)
{
    struct connection_list *idle = loop_idle_connections(connection->loop);
    *(connection->newer ? &connection->newer->older : &idle->newest) = connection->older;
    *(connection->older ? &connection->older->newer : &idle->oldest) = connection->newer;
    connection->newer = connection->older = NULL;
    connection->idle = false;
    idle->n--;
}

static void end_connection(struct connection *connection)
{
    if (connection->open)
        loop_unwatch(connection->loop, &connection->watch);
    curl_multi_remove_handle(loop_multi(connection->loop), connection->easy);
    curl_easy_cleanup(connection->easy);
    free(connection->way);
    free(connection);
}

void connection_close(struct connection *connection)
{
    if (!connection)
        return;
    if (connection->idle)
        take_out(connection);
    end_connection(connection);
}

static void close_oldest(struct connection_list *idle)
{
    struct connection *oldest = idle->oldest;
    CHECK(!oldest->older);
    take_out(oldest);
    CHECK(idle->oldest != oldest);
    end_connection(oldest);
}

/* Events of an idle connection: its end, or bytes that nobody asked for. */
static void on_ready(void *arg, uint32_t events)
{
    struct connection *connection = arg;
    if (connection->idle)
        connection_close(connection);
    else
        connection->events.on_ready(connection->arg, events & ~(uint32_t)EPOLLOUT,
                                    events & EPOLLOUT);
}

static void on_connected(void *arg, CURLcode code)
{
    struct connection *connection = arg;
    curl_socket_t fd = CURL_SOCKET_BAD;
    if (code == CURLE_OK)
        code = curl_easy_getinfo(connection->easy, CURLINFO_ACTIVESOCKET, &fd);
    if (code == CURLE_OK && fd == CURL_SOCKET_BAD)
        code = CURLE_COULDNT_CONNECT;
    if (code == CURLE_OK) {
        /* Nothing is sent, but from here on libcurl takes it for used, as by any first send. One
         * that is not used it closes when it makes another, if it seems dead or is two minutes
         * old. */
        size_t n;
        if (connection->bare)
            (void)curl_easy_send(connection->easy, "", 0, &n);
        connection->open = true;
        loop_watch(connection->loop, &connection->watch, (int)fd, EPOLLIN, on_ready, connection);
    }
    connection->events.on_open(connection->arg, code);
}

/* An end, or bytes that would be taken for the next answer, may be there before epoll tells; and of
 * what TLS has taken in already it does not tell. */
static bool is_quiet(struct connection *connection)
{
    char byte;
    size_t n;
    return connection_receive(connection, &byte, 1, &n) == CURLE_AGAIN;
}

static struct connection *find_idle(struct connection_list *idle, const char *way)
{
    struct connection *next;
    for (struct connection *at = idle->newest; at; at = next) {
        next = at->older;
        if (strcmp(at->way, way) != 0)
            continue;
        if (is_quiet(at))
            return at;
        connection_close(at);
    }
    return NULL;
}

struct connection *connection_take(struct loop *loop, const char *way,
                                   const struct connection_events *events, void *arg)
{
    struct connection_list *idle = loop_idle_connections(loop);
    int64_t now_ms = clock_mono_ms();
    while (idle->oldest && now_ms - idle->oldest->idle_since_ms > IDLE_MAX_MS)
        close_oldest(idle);
    struct connection *connection = find_idle(idle, way);
    if (!connection)
        return NULL;
    take_out(connection);
    connection->events = *events;
    connection->arg = arg;
    connection->error[0] = '\0';
    return connection;
}

struct connection *connection_open(struct loop *loop, const char *way, bool bare,
                                   void (*set_up)(void *arg, CURL *easy),
                                   const struct connection_events *events, void *arg)
{
    CURL *easy = curl_easy_init();
    if (!easy)
        return NULL;
    struct connection *connection = xcalloc(1, sizeof(*connection));
    connection->loop = loop;
    connection->way = xstrdup(way);
    connection->bare = bare;
    connection->easy = easy;
    connection->owner = (struct easy_owner){on_connected, connection};
    connection->events = *events;
    connection->arg = arg;
    set_up(arg, easy);
    curl_easy_setopt(easy, CURLOPT_CONNECT_ONLY, 1L);
    curl_easy_setopt(easy, CURLOPT_SHARE, loop_share(loop));
    curl_easy_setopt(easy, CURLOPT_PRIVATE, &connection->owner);
    /* CURLOPT_BUFFERSIZE stays at its 16 KiB: libcurl holds one while it connects, and what TLS
     * gives at a time is no more. */
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, connection->error);
    CHECK(curl_multi_add_handle(loop_multi(loop), easy) == CURLM_OK);
    return connection;
}

void connection_keep(struct connection *connection)
{
    struct connection_list *idle = loop_idle_connections(connection->loop);
    connection_wait(connection, true, false);
    connection->idle = true;
    connection->idle_since_ms = clock_mono_ms();
    connection->older = idle->newest;
    *(idle->newest ? &idle->newest->newer : &idle->oldest) = connection;
    idle->newest = connection;
    if (++idle->n > IDLE_MAX)
        close_oldest(idle);
}

void connections_close_idle(struct loop *loop)
{
    struct connection_list *idle = loop_idle_connections(loop);
    while (idle->oldest)
        close_oldest(idle);
}

const char *connection_peer(struct connection *connection)
{
    const char *ip = NULL;
    curl_easy_getinfo(connection->easy, CURLINFO_PRIMARY_IP, &ip);
    return ip ? ip : "";
}

const char *connection_error(const struct connection *connection)
{
    return connection->error;
}

void connection_wait(struct connection *connection, bool in, bool out)
{
    loop_watch_for(connection->loop, &connection->watch,
                   (in ? (uint32_t)EPOLLIN : 0) | (out ? (uint32_t)EPOLLOUT : 0));
}

/* What a call on the socket itself came to. */
static CURLcode outcome(struct connection *connection, ssize_t result, CURLcode failure, size_t *n)
{
    if (result >= 0) {
        *n = (size_t)result;
        return CURLE_OK;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)
        return CURLE_AGAIN;
    snprintf(connection->error, sizeof(connection->error), "%s: %s",
             failure == CURLE_SEND_ERROR ? "sending failed" : "receiving failed", strerror(errno));
    return failure;
}

/* libcurl looks a handle's connection up among all there are, for each call. */
CURLcode connection_send(struct connection *connection, const struct iovec data[2], size_t *n)
{
    *n = 0;
    if (!connection->bare)
        return curl_easy_send(connection->easy, data[0].iov_base, data[0].iov_len, n);
    struct msghdr message = {.msg_iov = (struct iovec *)data, .msg_iovlen = 2};
    return outcome(connection, sendmsg(connection->watch.fd, &message, MSG_NOSIGNAL),
                   CURLE_SEND_ERROR, n);
}

CURLcode connection_receive(struct connection *connection, void *data, size_t len, size_t *n)
{
    *n = 0;
    if (!connection->bare)
        return curl_easy_recv(connection->easy, data, len, n);
    return outcome(connection, recv(connection->watch.fd, data, len, 0), CURLE_RECV_ERROR, n);
}
