/* SPDX-License-Identifier: Apache-2.0
 *
 * Listeners, and the way of a request from its first line to its handler.
 */
#include "server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdarg.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "body.h"
#include "core/mem.h"
#include "core/text.h"
#include "fault_answers.h"

/* poll, not epoll: libmicrohttpd 0.9.75 stalls with epoll once 128 connections are ready. */
enum {
    DAEMON_FLAGS = MHD_USE_POLL | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION,
    CONNECTIONS_MAX = 8192,
    CONNECTION_MEMORY = 256 * 1024, /* headers in, and the longest chunk out */
    THREAD_STACK = 1024 * 1024,     /* JSON may be nested 2,048 deep */
    LISTEN_BACKLOG = 1024,
};

/* ---- routing --------------------------------------------------------------------------------- */

/* Whether path fits the pattern; copies what stands for {id}. */
static bool path_fits(const char *pattern, const char *path, char id[JOB_ID_SIZE])
{
    while (*pattern) {
        if (*pattern == '{') {
            size_t n = strcspn(path, "/");
            if (n == 0)
                return false;
            snprintf(id, JOB_ID_SIZE, "%.*s", n < JOB_ID_SIZE ? (int)n : 0, path);
            path += n;
            pattern += strlen("{id}");
        } else if (*pattern++ != *path++) {
            return false;
        }
    }
    return *path == '\0';
}

static void find_route(struct request *rq, const char *method, const char *path)
{
    rq->head = strcmp(method, "HEAD") == 0;
    if (rq->head)
        method = "GET";
    for (const struct route *route = routes; route->method; route++) {
        if (strcmp(route->method, method) == 0 && path_fits(route->pattern, path, rq->id)) {
            rq->route = route;
            return;
        }
    }
}

static bool has_token(const struct request *rq)
{
    const char *value = request_header(rq, "Authorization");
    return value && strncmp(value, "Bearer ", 7) == 0 && strcmp(value + 7, rq->sim->token) == 0;
}

static size_t slot_of(const struct request *rq)
{
    return 2 * (size_t)(rq->route - routes) + rq->head;
}

void fault_happened(struct request *rq)
{
    rq->sim->n_faults[slot_of(rq)][rq->fault->kind]++;
}

static enum MHD_Result dispatch(struct request *rq)
{
    struct sim *sim = rq->sim;
    enum MHD_Result rc;
    if (rq->route) {
        uint64_t n = sim->n_requests[rq->route - routes][rq->head]++;
        rq->fault = faults_decide(sim->faults, slot_of(rq), n, &rq->drawn);
    } else {
        sim->n_unrouted++;
    }
    server_sleep(sim, sim->sw.latency_ms);
    if (fault_answers(rq, &rc))
        return rc;

    bool is_signed = rq->route && strncmp(rq->route->pattern, "/signed/", 8) == 0;
    bool elsewhere = sim->two_ports && is_signed != rq->on_signed_port;
    enum access access = rq->route ? rq->route->access : WITH_TOKEN;
    if (access == STATUS_ROUTE)
        access = sim->sw.status_auth ? WITH_TOKEN : OPEN;
    if (rq->on_signed_port && !is_signed)
        return respond_store_error(rq, 404, "NoSuchKey", "There is no such object.");
    if (access == WITH_TOKEN && !has_token(rq))
        return respond_error(rq, sim->sw.status_bad_token, "Unauthorized");
    if (!rq->route || elsewhere)
        return respond_error(rq, 404, "Not Found");
    if (buf_overflowed(&rq->body))
        return respond_error(rq, 413, "The request's body is larger than %d bytes",
                             REQUEST_BODY_MAX);
    return rq->route->fn(rq);
}

/* Called by libmicrohttpd: once with the head, again for each piece of the body, once at its end.
 */
static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *upload_data,
                                  size_t *upload_data_size, void **con_cls)
{
    (void)version;
    struct request *rq = *con_cls;
    if (!rq) {
        rq = xcalloc(1, sizeof(*rq));
        const struct listener *listener = cls;
        rq->sim = listener->sim;
        rq->on_signed_port = listener->signed_only;
        rq->connection = connection;
        rq->body = BUF_INIT(REQUEST_BODY_MAX);
        find_route(rq, method, url);
        *con_cls = rq;
        return MHD_YES;
    }
    if (*upload_data_size) {
        if (!buf_overflowed(&rq->body))
            buf_append(&rq->body, upload_data, *upload_data_size);
        *upload_data_size = 0;
        return MHD_YES;
    }
    return dispatch(rq);
}

static void on_completed(void *cls, struct MHD_Connection *connection, void **con_cls,
                         enum MHD_RequestTerminationCode why)
{
    (void)cls;
    (void)connection;
    (void)why;
    struct request *rq = *con_cls;
    if (rq) {
        buf_release(&rq->body);
        free(rq);
        *con_cls = NULL;
    }
}

const char *request_header(const struct request *rq, const char *name)
{
    return MHD_lookup_connection_value(rq->connection, MHD_HEADER_KIND, name);
}

const char *request_argument(const struct request *rq, const char *name)
{
    return MHD_lookup_connection_value(rq->connection, MHD_GET_ARGUMENT_KIND, name);
}

/* ---- listeners ------------------------------------------------------------------------------- */

/* A socket that listens; *port is the one it got. -1 on failure. */
static int listen_at(const char *address, unsigned *port, struct err *err)
{
    struct sockaddr_in where = {.sin_family = AF_INET, .sin_port = htons((uint16_t)*port)};
    socklen_t len = sizeof(where);
    if (inet_pton(AF_INET, address, &where.sin_addr) != 1)
        return err_set(err, ERR_USAGE, "--listen %s: expected an IPv4 address such as 127.0.0.1",
                       address);
    int yes = 1;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd >= 0 && fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 &&
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) == 0 &&
        bind(fd, (struct sockaddr *)&where, sizeof(where)) == 0 &&
        listen(fd, LISTEN_BACKLOG) == 0 && getsockname(fd, (struct sockaddr *)&where, &len) == 0) {
        *port = ntohs(where.sin_port);
        return fd;
    }
    err_set_errno(err, ERR_IO, errno, "cannot listen on %s:%u", address, *port);
    if (fd >= 0)
        close(fd);
    return -1;
}

/* Takes the socket. */
static int serve_socket(struct listener *listener, int fd, struct err *err)
{
    listener->daemon = MHD_start_daemon(
        DAEMON_FLAGS, 0, NULL, NULL, on_request, listener, MHD_OPTION_LISTEN_SOCKET, fd,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)CONNECTIONS_MAX, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
        MHD_OPTION_THREAD_STACK_SIZE, (size_t)THREAD_STACK, MHD_OPTION_END);
    if (listener->daemon)
        return 0;
    close(fd);
    return err_set(err, ERR_INTERNAL, "the HTTP server cannot be started");
}

/* A thread and a socket for each connection. */
static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

int server_start(struct sim *sim, const char *address, unsigned port, struct err *err)
{
    raise_file_limit();
    if (pipe(sim->stop_pipe) < 0)
        return err_set_errno(err, ERR_IO, errno, "pipe");
    if (fcntl(sim->stop_pipe[0], F_SETFD, FD_CLOEXEC) < 0 ||
        fcntl(sim->stop_pipe[1], F_SETFD, FD_CLOEXEC) < 0)
        return err_set_errno(err, ERR_IO, errno, "pipe");
    /* Both sockets before the first request: answers hold both URLs. */
    unsigned other_port = 0;
    /* A client keeps its token on a redirect to the same port, and signed URLs refuse it. */
    sim->two_ports = sim->sw.signed_port == SIGNED_PORT_OTHER || sim->sw.output == OUTPUT_REDIRECT;
    bool two = sim->two_ports;
    int fd = listen_at(address, &port, err);
    if (fd < 0)
        return -1;
    int other_fd = two ? listen_at(address, &other_port, err) : -1;
    if (two && other_fd < 0) {
        close(fd);
        return -1;
    }
    snprintf(sim->url, sizeof(sim->url), "http://%s:%u", address, port);
    const char *host = *sim->sw.signed_host ? sim->sw.signed_host : address;
    snprintf(sim->signed_url, sizeof(sim->signed_url), "http://%.255s:%u", host,
             two ? other_port : port);
    sim->main = (struct listener){.sim = sim};
    sim->other = (struct listener){.sim = sim, .signed_only = true};
    int rc = serve_socket(&sim->main, fd, err);
    int other_rc = two ? serve_socket(&sim->other, other_fd, err) : 0;
    return rc < 0 || other_rc < 0 ? -1 : 0;
}

void server_stop(struct sim *sim)
{
    sim->stopping = true;
    if (sim->stop_pipe[1] > 0 && write(sim->stop_pipe[1], "", 1) < 0)
        fprintf(stderr, "egress-sim: stop pipe: %s\n", strerror(errno));
    if (sim->main.daemon)
        MHD_stop_daemon(sim->main.daemon);
    if (sim->other.daemon)
        MHD_stop_daemon(sim->other.daemon);
}

void server_sleep(struct sim *sim, int64_t ms)
{
    struct pollfd stop = {.fd = sim->stop_pipe[0], .events = POLLIN};
    if (ms > 0)
        poll(&stop, 1, ms < INT32_MAX ? (int)ms : INT32_MAX);
}

/* ---- answers --------------------------------------------------------------------------------- */

enum MHD_Result respond(struct request *rq, int64_t status, struct MHD_Response *response)
{
    if (!response)
        return MHD_NO;
    if (*rq->retry_after)
        MHD_add_response_header(response, MHD_HTTP_HEADER_RETRY_AFTER, rq->retry_after);
    enum MHD_Result rc = MHD_NO;
    if (fault_spares_bodyless(rq))
        rc = MHD_queue_response(rq->connection, (unsigned)status, response);
    MHD_destroy_response(response);
    return rc;
}

enum MHD_Result respond_buf(struct request *rq, int64_t status, const char *type, struct buf *body)
{
    if (buf_overflowed(body)) {
        buf_release(body);
        return respond_error(rq, 500, "The answer is too large");
    }
    size_t len = body->len;
    struct shape shape = SHAPE_PLAIN;
    struct MHD_Response *response =
        body_apply_fault(rq, len, &shape)
            ? body_response_from_memory(rq, &shape, buf_take(body), len)
            : MHD_create_response_from_buffer(len, buf_take(body), MHD_RESPMEM_MUST_FREE);
    if (response && type)
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    return respond(rq, status, response);
}

enum MHD_Result respond_json(struct request *rq, int64_t status, struct buf *body)
{
    return respond_buf(rq, status, "application/json; charset=utf-8", body);
}

enum MHD_Result respond_error(struct request *rq, int64_t status, const char *fmt, ...)
{
    char message[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(message, sizeof(message), fmt, ap);
    va_end(ap);
    text_make_printable(message);
    struct buf body = BUF_INIT(8192);
    if (rq->sim->sw.error_body == ERROR_HTML) {
        buf_printf(&body, "<html><body><h1>%d</h1></body></html>\n", (int)status);
        return respond_buf(rq, status, "text/html; charset=utf-8", &body);
    }
    buf_printf(&body, "{\"error\":{\"code\":%d,\"message\":", (int)status);
    text_json_quote(&body, message);
    buf_str_append(&body, "}}");
    return respond_json(rq, status, &body);
}

enum MHD_Result respond_store_error(struct request *rq, int64_t status, const char *code,
                                    const char *message)
{
    struct buf body = BUF_INIT(8192);
    buf_printf(&body,
               "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
               "<Error><Code>%s</Code><Message>%s</Message></Error>",
               code, message);
    return respond_buf(rq, status, "application/xml", &body);
}

enum MHD_Result respond_done(struct request *rq)
{
    struct buf body = BUF_INIT(0);
    return respond_buf(rq, rq->sim->sw.status_done, NULL, &body);
}
