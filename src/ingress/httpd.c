/* SPDX-License-Identifier: Apache-2.0
 *
 * httpd: the server's life, and the way of a request from its first line to its answer.
 *
 * A request that is not answered from inside on_request is suspended (libmicrohttpd then does not
 * look at its connection any more) and resumed by whoever answers it. `turn` decides between the
 * two, whichever comes first: only one that is PARKED is resumed, and only one that is still
 * ASKED is parked.
 */
#include <errno.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/text.h"
#include "ingress/httpd_private.h"
#include "ingress/httpd_request.h"

/* poll, not epoll: libmicrohttpd 0.9.75 stalls with epoll once 128 connections are ready. */
enum {
    DAEMON_FLAGS = MHD_USE_POLL | MHD_USE_INTERNAL_POLLING_THREAD | MHD_ALLOW_SUSPEND_RESUME |
                   MHD_USE_ERROR_LOG,
    CONNECTION_MEMORY = 16 * 1024, /* of one: its headers have to fit in, and those of the answer */
    BODY_KEPT = 4 * 1024,          /* of a body's memory, for the connection's next */
    TELL_AGAIN_MS = 10 * 1000,     /* between two warnings of refused connections */
};

struct httpd {
    struct httpd_config config;
    struct MHD_Daemon *daemon;
    struct httpd_watch *watch;
    /* libmicrohttpd's thread */
    struct httpd_clients *clients;
    int64_t told_ms; /* of refused connections */
    /* any thread */
    atomic_bool quiesced, stopping;
    atomic_uint resuming; /* httpd_answer() calls that may still use the daemon */
    atomic_uint open;
    atomic_uint_fast64_t connections, requests, refused_connections, timed_out, rate_limited,
        malformed;
};

/* ---- connections ------------------------------------------------------------------------------
 */

static void warn_of_refusal(struct httpd *httpd, const char *why, unsigned max)
{
    atomic_fetch_add(&httpd->refused_connections, 1);
    int64_t now = clock_mono_ms();
    if (httpd->told_ms && now - httpd->told_ms < TELL_AGAIN_MS)
        return;
    httpd->told_ms = now;
    log_warn("connections are refused: %s (%u)", why, max);
}

static enum MHD_Result may_connect(void *arg, const struct sockaddr *address, socklen_t len)
{
    struct httpd *httpd = arg;
    unsigned char key[HTTPD_CLIENT_KEY];
    (void)len;
    if (atomic_load(&httpd->open) >= httpd->config.connections_max) {
        warn_of_refusal(httpd, "as many are open as may be", httpd->config.connections_max);
        return MHD_NO;
    }
    if (httpd_client_key(address, key) && httpd_client_is_full(httpd->clients, key)) {
        warn_of_refusal(httpd, "one client has as many as it may", httpd->config.per_client_max);
        return MHD_NO;
    }
    return MHD_YES;
}

static struct httpd_request *connection_begin(struct httpd *httpd,
                                              struct MHD_Connection *connection)
{
    struct httpd_request *rq = xcalloc(1, sizeof(*rq));
    rq->httpd = httpd;
    rq->connection = connection;
    rq->body = BUF_INIT(httpd->config.body_max);
    const struct sockaddr *address =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr;
    unsigned char key[HTTPD_CLIENT_KEY];
    httpd_name_peer(address, rq->peer);
    if (httpd_client_key(address, key))
        rq->client = httpd_client_enter(httpd->clients, key);
    int fd = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    httpd_watch_add(httpd->watch, &rq->watched, fd);
    atomic_fetch_add(&httpd->open, 1);
    atomic_fetch_add(&httpd->connections, 1);
    return rq;
}

static void connection_end(struct httpd_request *rq)
{
    struct httpd *httpd = rq->httpd;
    httpd_watch_remove(httpd->watch, &rq->watched);
    if (rq->client)
        httpd_client_leave(httpd->clients, rq->client);
    atomic_fetch_sub(&httpd->open, 1);
    buf_release(&rq->body);
    free(rq);
}

static void on_connection(void *arg, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode code)
{
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        *context = connection_begin(arg, connection);
    } else if (*context) {
        connection_end(*context);
        *context = NULL;
    }
}

/* ---- a request --------------------------------------------------------------------------------
 */

/* Its first line is there. What is returned is its context from here on. */
static void *on_request_line(void *arg, const char *url, struct MHD_Connection *connection)
{
    struct httpd *httpd = arg;
    struct httpd_request *rq =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
    atomic_fetch_add(&httpd->requests, 1);
    rq->seen = rq->settled = false;
    rq->at_once = false;
    rq->refusal = (struct httpd_refusal){0};
    rq->thrown_away = 0;
    rq->response = NULL;
    atomic_store_explicit(&rq->turn, HTTPD_TURN_NONE, memory_order_relaxed);
    if (strstr(url, "%00")) { /* would end the path, or a value, before its end */
        httpd_refuse(rq, 400, "input", "the URL has a NUL character in it");
        rq->at_once = true;
    }
    (void)httpd_watch_set(httpd->watch, &rq->watched, HTTPD_RECEIVING);
    return rq;
}

static void on_completed(void *arg, struct MHD_Connection *connection, void **context,
                         enum MHD_RequestTerminationCode code)
{
    struct httpd *httpd = arg;
    struct httpd_request *rq = *context;
    (void)connection;
    (void)code;
    if (!rq)
        return;
    *context = NULL;
    if (rq->response)
        MHD_destroy_response(rq->response);
    rq->response = NULL;
    if (rq->body.size > BODY_KEPT)
        buf_release(&rq->body);
    else
        buf_clear(&rq->body);
    (void)httpd_watch_set(httpd->watch, &rq->watched, HTTPD_IDLE);
}

static void look_at_rate(struct httpd_request *rq)
{
    struct httpd *httpd = rq->httpd;
    if (!rq->client || httpd->config.rate <= 0)
        return;
    int64_t wait_ms = httpd_client_take(httpd->clients, rq->client, clock_mono_ms());
    if (wait_ms > 0) {
        httpd_refuse(rq, 429, "rate", "too many requests from this address; Retry-After says when");
        rq->refusal.retry_after_s = (wait_ms + 999) / 1000;
    }
}

static enum MHD_Result send_response(struct httpd_request *rq)
{
    struct httpd *httpd = rq->httpd;
    if (!httpd_watch_set(httpd->watch, &rq->watched, HTTPD_SENDING))
        return MHD_NO;
    struct MHD_Response *response = rq->response;
    rq->response = NULL;
    if (atomic_load(&httpd->quiesced))
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    enum MHD_Result queued = MHD_queue_response(rq->connection, rq->status, response);
    MHD_destroy_response(response);
    return queued;
}

static enum MHD_Result send_refusal(struct httpd_request *rq)
{
    struct httpd *httpd = rq->httpd;
    int status = rq->refusal.status;
    atomic_fetch_add(status == 429 ? &httpd->rate_limited : &httpd->malformed, status != 503);
    log_debug("%s: request refused with %d: %s", rq->peer, status, rq->refusal.message);
    httpd_build_refusal(rq);
    return send_response(rq);
}

/* It is whole. */
static enum MHD_Result ask(struct httpd_request *rq)
{
    struct httpd *httpd = rq->httpd;
    if (atomic_load(&httpd->stopping))
        httpd_refuse(rq, 503, "cancelled", "the server ends; send it again later");
    if (rq->refusal.status)
        return send_refusal(rq);
    /* Only in its next round, when libmicrohttpd knows that there is nothing more to read: it would
     * read on as soon as the connection is resumed, find that a client has closed its half, and
     * close the other one instead of sending the answer. */
    if (!rq->settled) {
        rq->settled = true;
        return MHD_YES;
    }
    if (!httpd_watch_set(httpd->watch, &rq->watched, HTTPD_ASKED))
        return MHD_NO;
    atomic_store(&rq->turn, HTTPD_TURN_ASKED);
    httpd->config.on_request(httpd->config.arg, rq);
    if (atomic_load(&rq->turn) == HTTPD_TURN_ANSWERED)
        return send_response(rq);
    MHD_suspend_connection(rq->connection);
    int turn = HTTPD_TURN_ASKED;
    if (!atomic_compare_exchange_strong(&rq->turn, &turn, HTTPD_TURN_PARKED))
        MHD_resume_connection(rq->connection); /* answered just now */
    return MHD_YES;
}

/* Called with the head, with each piece of the body, twice at the end, and after a resumption. */
static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *data_size, void **context)
{
    struct httpd_request *rq = *context;
    (void)arg;
    (void)connection;
    if (!rq->seen) {
        rq->seen = true;
        rq->method = method;
        rq->path = url;
        if (!rq->refusal.status)
            httpd_look_at_head(rq, version);
        if (!rq->refusal.status)
            look_at_rate(rq);
        return rq->refusal.status && rq->at_once ? send_refusal(rq) : MHD_YES;
    }
    if (*data_size > 0) {
        bool taken = httpd_take_body(rq, data, *data_size);
        *data_size = 0;
        if (!taken)
            atomic_fetch_add(&rq->httpd->malformed, 1);
        return taken ? MHD_YES : MHD_NO;
    }
    return atomic_load(&rq->turn) == HTTPD_TURN_ANSWERED ? send_response(rq) : ask(rq);
}

void httpd_answer(struct httpd_request *rq, const struct httpd_answer *answer)
{
    struct httpd *httpd = rq->httpd;
    struct MHD_Connection *connection = rq->connection;
    httpd_build_response(rq, answer);
    /* From the exchange on the request may be gone, and httpd_stop() on its way. */
    atomic_fetch_add(&httpd->resuming, 1);
    int turn = atomic_exchange(&rq->turn, HTTPD_TURN_ANSWERED);
    CHECK(turn == HTTPD_TURN_ASKED || turn == HTTPD_TURN_PARKED);
    if (turn == HTTPD_TURN_PARKED)
        MHD_resume_connection(connection);
    atomic_fetch_sub(&httpd->resuming, 1);
}

/* ---- life -------------------------------------------------------------------------------------
 */

/* What libmicrohttpd has to say is about what clients do. The answers that it makes of its own to
 * what is no HTTP begin like this; it has no other way to tell of them. */
static void on_message(void *arg, const char *format, va_list values) PRINTF_LIKE(2, 0);
static void on_message(void *arg, const char *format, va_list values)
{
    struct httpd *httpd = arg;
    char line[512];
    if (strncmp(format, "Error processing request", 24) == 0)
        atomic_fetch_add(&httpd->malformed, 1);
    if (!log_enabled(LOG_DEBUG))
        return;
    vsnprintf(line, sizeof(line), format, values);
    line[strcspn(line, "\r\n")] = '\0';
    text_make_printable(line);
    log_debug("libmicrohttpd: %s", line);
}

static int check_socket(int fd, struct err *err)
{
    int listens = 0;
    socklen_t len = sizeof(listens);
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) < 0)
        return err_set_errno(err, ERR_CONFIG, errno, "descriptor %d is no socket", fd);
    if (!listens)
        return err_set(err, ERR_CONFIG, "descriptor %d: expected a listening socket", fd);
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return err_set_errno(err, ERR_IO, errno, "descriptor %d", fd);
    return 0;
}

static int start(struct httpd *httpd, struct err *err)
{
    const struct httpd_config *config = &httpd->config;
    if (check_socket(config->fd, err) < 0)
        return -1;
    httpd->watch = httpd_watch_start(config, &httpd->timed_out, err);
    if (!httpd->watch)
        return -1;
    httpd->clients = httpd_clients_new(config);
    errno = 0;
    httpd->daemon = MHD_start_daemon(
        DAEMON_FLAGS, 0, may_connect, httpd, on_request, httpd,                              //
        MHD_OPTION_EXTERNAL_LOGGER, on_message, httpd,                                       //
        MHD_OPTION_LISTEN_SOCKET, config->fd,                                                //
        MHD_OPTION_CONNECTION_LIMIT, config->connections_max + 1, /* may_connect has ours */ //
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,                       //
        MHD_OPTION_CONNECTION_TIMEOUT, 0U,                                                   //
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, httpd,                                  //
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, httpd,                                    //
        MHD_OPTION_URI_LOG_CALLBACK, on_request_line, httpd,                                 //
        MHD_OPTION_END);
    if (!httpd->daemon)
        return err_set_errno(err, ERR_IO, errno, "the HTTP server cannot start");
    return 0;
}

struct httpd *httpd_start(const struct httpd_config *config, struct err *err)
{
    struct httpd *httpd = xcalloc(1, sizeof(*httpd));
    httpd->config = *config;
    sigset_t all, before; /* signals are other threads' business */
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int rc = start(httpd, err);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc == 0)
        return httpd;
    httpd_watch_stop(httpd->watch);
    httpd_clients_free(httpd->clients);
    (void)close(config->fd);
    free(httpd);
    return NULL;
}

void httpd_quiesce(struct httpd *httpd)
{
    if (atomic_exchange(&httpd->quiesced, true))
        return;
    (void)MHD_quiesce_daemon(httpd->daemon);
    /* libmicrohttpd's thread may be just about to accept: the number stays taken, by a socket that
     * nobody can connect to. The listening one is closed by that, but where others have it too
     * (systemd) it goes on to listen for the next process. */
    int nobody = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (nobody < 0)
        return;
    if (dup2(nobody, httpd->config.fd) >= 0)
        (void)fcntl(httpd->config.fd, F_SETFD, FD_CLOEXEC);
    (void)close(nobody);
}

void httpd_stop(struct httpd *httpd)
{
    if (!httpd)
        return;
    atomic_store(&httpd->stopping, true);
    httpd_quiesce(httpd);
    httpd_watch_wait(httpd->watch);
    while (atomic_load(&httpd->resuming) > 0) /* on their last instructions */
        nanosleep(&(struct timespec){.tv_nsec = 100 * 1000}, NULL);
    MHD_stop_daemon(httpd->daemon);
    httpd_watch_stop(httpd->watch);
    httpd_clients_free(httpd->clients);
    (void)close(httpd->config.fd);
    free(httpd);
}

void httpd_counts(const struct httpd *httpd, struct httpd_counts *counts)
{
    counts->connections = atomic_load(&httpd->connections);
    counts->requests = atomic_load(&httpd->requests);
    counts->refused_connections = atomic_load(&httpd->refused_connections);
    counts->timed_out = atomic_load(&httpd->timed_out);
    counts->rate_limited = atomic_load(&httpd->rate_limited);
    counts->malformed = atomic_load(&httpd->malformed);
    counts->open = atomic_load(&httpd->open);
}
