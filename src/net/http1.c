/* SPDX-License-Identifier: Apache-2.0
 *
 * http1: an attempt as one HTTP/1.1 exchange over a connection.
 *
 * Why not by libcurl, which makes the connections: it takes no memory of ours to send from or to
 * receive into, so each byte of an output is copied twice more, and a request costs it as much as
 * all the rest of a small output (docs/performance.md).
 *
 *     begin -> (headers) -> start -> [connect] -> send and receive -> http_attempt_done()
 */
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/mem.h"
#include "net/http_call.h"

enum {
    REQUEST_HEAD_MAX = 64 * 1024,
    SEND_MAX = 512 * 1024, /* in a turn: more than is received in one */
    /* At a time into TLS, which says nothing of what is out until all of it is. */
    SEND_TLS_MAX = 64 * 1024,
    /* At a time, when there is no room where it belongs: it may have to be kept. */
    RECEIVE_ELSEWHERE_MAX = 64 * 1024,
    /* S3 completes an upload for minutes, and sends a blank now and then. So of an answer that is
     * collected it is as many stall time-outs that it may drip for. */
    DRIP_STALLS = 10,
};

/* ---- the request ---- */

/* As url_parse() leaves it, but for what would end the request line or is no part of a URL. */
static void append_target(struct buf *out, const char *text)
{
    for (; *text; text++) {
        if (*text > ' ' && *text < 0x7f)
            buf_byte(out, *text);
        else
            buf_printf(out, "%%%02X", (unsigned char)*text);
    }
}

void http1_add_header(struct http_call *call, const char *name, const char *value)
{
    buf_str_append(&call->request, name);
    buf_str_append(&call->request, *value ? ": " : ":");
    buf_str_append(&call->request, value);
    buf_str_append(&call->request, "\r\n");
}

void http1_begin(struct http_call *call)
{
    struct buf *out = &call->request;
    struct url url = {0};
    struct err err = {0};
    CHECK(url_parse(call->url, &url, &err) == 0); /* as it was when the origin was found */
    *out = BUF_INIT(REQUEST_HEAD_MAX + JOINED_MAX);
    buf_str_append(out, call->method);
    buf_byte(out, ' ');
    bool whole_url =
        call->proxy && strcmp(url.scheme, "http") == 0 && proxy_takes_requests(call->proxy);
    if (whole_url) {
        buf_str_append(out, "http://");
        url_host_header(&url, out);
    }
    append_target(out, url.path);
    if (url.query) {
        buf_byte(out, '?');
        append_target(out, url.query);
    }
    buf_str_append(out, " HTTP/1.1\r\nHost: ");
    url_host_header(&url, out);
    buf_str_append(out, "\r\nUser-Agent: ");
    buf_str_append(out, http_options()->user_agent);
    buf_str_append(out, "\r\n");
    char *authorization = whole_url ? proxy_authorization(call->proxy) : NULL;
    if (authorization)
        http1_add_header(call, "Proxy-Authorization", authorization);
    free(authorization);
    url_release(&url);
}

static void end_request(struct http_call *call)
{
    if (call->has_body)
        buf_printf(&call->request, "Content-Length: %zu\r\n", call->body_len);
    buf_str_append(&call->request, "\r\n");
    if (call->body_len <= JOINED_MAX)
        buf_append(&call->request, call->body, call->body_len);
}

static size_t request_len(const struct http_call *call)
{
    return call->request.len + (call->body_len > JOINED_MAX ? call->body_len : 0);
}

/* ---- the end ---- */

void http1_drop(struct http_call *call)
{
    loop_timer_stop(call->loop, &call->watchdog);
    connection_close(call->connection);
    call->connection = NULL;
    call->exchanging = false;
    call->wants &= ~(unsigned)(WANT_MORE | WANT_RESUME); /* they were of this attempt */
    http1_answer_release(&call->answer);
    buf_release(&call->request);
    free(call->rest);
    call->rest = NULL;
    call->rest_len = 0;
}

static void end(struct http_call *call, CURLcode code)
{
    if (code == CURLE_OK && call->answer.keep && call->sent == request_len(call)) {
        connection_keep(call->connection);
        call->connection = NULL;
    }
    http1_drop(call);
    http_attempt_done(call, code);
}

static void fail(struct http_call *call, CURLcode code, const char *detail)
{
    snprintf(call->curl_error, sizeof(call->curl_error), "%s", detail);
    end(call, code);
}

/* ---- time-outs ---- */

static void count(struct http_call *call, size_t n)
{
    call->last_byte_ms = clock_mono_ms();
    call->window_bytes += n;
}

static void begin_window(struct http_call *call, int64_t now_ms)
{
    call->last_byte_ms = call->window_ms = now_ms;
    call->window_bytes = 0;
}

/* Whether the exchange has stalled: for how long it says then; else when it may have. */
static bool has_stalled(struct http_call *call, int64_t now_ms, int64_t *for_ms, int64_t *due_ms)
{
    int64_t stall_ms = call->stall_timeout_ms;
    int64_t drip_ms = call->events.on_data ? stall_ms : DRIP_STALLS * stall_ms;
    if (call->paused) /* it is us who take nothing */
        begin_window(call, now_ms);
    bool silent = now_ms - call->last_byte_ms >= stall_ms;
    bool window_over = now_ms - call->window_ms >= drip_ms;
    *for_ms = silent ? stall_ms : drip_ms;
    if (silent || (window_over && call->window_bytes * 1000 < (uint64_t)(RATE_MIN * drip_ms)))
        return true;
    if (window_over)
        begin_window(call, now_ms);
    *due_ms = call->window_ms + drip_ms;
    if (*due_ms > call->last_byte_ms + stall_ms)
        *due_ms = call->last_byte_ms + stall_ms;
    return false;
}

static void watch_time(void *arg)
{
    struct http_call *call = arg;
    int64_t now_ms = clock_mono_ms(), for_ms, due_ms = INT64_MAX;
    if (call->deadline_ms && now_ms >= call->deadline_ms) {
        fail(call, CURLE_OPERATION_TIMEDOUT, "the answer took too long");
        return;
    }
    if (!(call->flags & HTTP_NO_STALL) && has_stalled(call, now_ms, &for_ms, &due_ms)) {
        char detail[64];
        snprintf(detail, sizeof(detail), "less than %d bytes a second for %lld s", RATE_MIN,
                 (long long)for_ms / 1000);
        fail(call, CURLE_OPERATION_TIMEDOUT, detail);
        return;
    }
    if (call->deadline_ms && call->deadline_ms < due_ms)
        due_ms = call->deadline_ms;
    if (due_ms < INT64_MAX)
        loop_timer_start(call->loop, &call->watchdog, due_ms - now_ms, watch_time, call);
}

/* ---- sending ---- */

static void connect_anew(struct http_call *call);

/* The next pieces of the request: head and body, or one of them. */
static void next_to_send(const struct http_call *call, size_t most, struct iovec data[2])
{
    const size_t head = call->request.len;
    size_t in_body = call->sent > head ? call->sent - head : 0;
    size_t left = request_len(call) - head - in_body;
    data[0] = data[1] = (struct iovec){0};
    if (call->sent < head)
        *data++ = (struct iovec){call->request.data + call->sent, head - call->sent};
    if (left)
        *data = (struct iovec){(char *)(uintptr_t)call->body + in_body, left < most ? left : most};
}

static void send_some(struct http_call *call)
{
    const size_t all = request_len(call), most = call->bare ? SEND_MAX : SEND_TLS_MAX;
    for (size_t turn = 0; call->sent < all && turn < SEND_MAX;) {
        struct iovec data[2];
        next_to_send(call, most, data);
        size_t n = 0;
        CURLcode code = connection_send(call->connection, data, &n);
        if (code == CURLE_AGAIN)
            break;
        if (code != CURLE_OK) { /* there may be an answer that says why */
            call->send_failure = code;
            break;
        }
        call->sent += n;
        turn += n;
        count(call, n);
        if (call->bare && n < data[0].iov_len + data[1].iov_len) /* it is full */
            break;
    }
    connection_wait(call->connection, !call->paused,
                    call->sent < all && call->send_failure == CURLE_OK);
}

/* ---- receiving ---- */

/* The connection has ended, or failed to give bytes. */
static void ended(struct http_call *call, CURLcode code)
{
    call->answer.keep = false;
    if (!call->answered && call->reused) { /* it died while it was idle, or just now */
        connect_anew(call);
        return;
    }
    if (!call->answered && call->send_failure != CURLE_OK) {
        fail(call, call->send_failure, connection_error(call->connection));
    } else if (code != CURLE_OK) {
        fail(call, code, connection_error(call->connection));
    } else if (!call->answered) {
        fail(call, CURLE_GOT_NOTHING, "empty reply from server");
    } else if (!call->headers_done || http1_answer_may_end(&call->answer)) {
        end(call, CURLE_OK);
    } else {
        char detail[64] = "within a chunk or before the last one";
        if (call->answer.left >= 0 && call->answer.length >= 0)
            snprintf(detail, sizeof(detail), "%lld bytes are missing",
                     (long long)call->answer.left);
        fail(call, CURLE_PARTIAL_FILE, detail);
    }
}

static void bad_answer(struct http_call *call)
{
    const struct http1_answer *answer = &call->answer;
    if (answer->refused)
        http_answer_refuse(call, answer->bad);
    /* Within a body it is something on the way that went wrong. */
    fail(call, call->headers_done ? CURLE_RECV_ERROR : CURLE_WEIRD_SERVER_REPLY, answer->bad);
}

/* The bytes that on_data does not want yet. */
static void keep_rest(struct http_call *call, struct http1_bytes bytes)
{
    call->rest = xrealloc(NULL, bytes.len);
    call->rest_len = bytes.len;
    memcpy(call->rest, bytes.data, bytes.len);
    connection_wait(call->connection, false, call->sent < request_len(call));
}

/* Whether the exchange goes on with further bytes; else it has been paused, or the call is gone. */
static bool take(struct http_call *call, struct http1_bytes bytes)
{
    for (;;) {
        struct http1_answer *answer = &call->answer;
        ssize_t taken;
        switch (http1_answer_next(answer, &bytes)) {
        case HTTP1_BAD:
            bad_answer(call);
            return false;
        case HTTP1_MORE:
            return true;
        case HTTP1_FIELD:
            answer_headers_add(&call->answer_headers, answer->text.data, answer->text.len);
            break;
        case HTTP1_HEAD:
            call->rsp.status = answer->status;
            call->rsp.content_length = answer->length;
            if (http_answer_head(call) < 0) {
                end(call, CURLE_WRITE_ERROR);
                return false;
            }
            break;
        case HTTP1_BODY:
            taken = http_answer_body(call, answer->text.data, answer->text.len);
            if (taken < 0) {
                end(call, CURLE_WRITE_ERROR);
                return false;
            }
            http1_answer_took(answer, &bytes, (size_t)taken);
            if (call->paused) {
                keep_rest(call, bytes);
                return false;
            }
            break;
        case HTTP1_END:
            answer->keep &= bytes.len == 0;
            end(call, CURLE_OK);
            return false;
        }
    }
}

/* Where to receive, at most *len bytes. */
static char *find_room(struct http_call *call, size_t *len)
{
    uint64_t left = http1_answer_body_left(&call->answer);
    bool told = left && call->events.room && http_call_is_success(call);
    char *room = told ? call->events.room(call->arg, len) : NULL;
    if (!room) {
        *len = told ? RECEIVE_ELSEWHERE_MAX : LOOP_SCRATCH;
        return loop_scratch(call->loop);
    }
    if (*len > left)
        *len = (size_t)left;
    if (*len > BURST_MAX)
        *len = BURST_MAX;
    return room;
}

static void receive_some(struct http_call *call)
{
    for (size_t burst = 0; burst < BURST_MAX;) {
        size_t n = 0, len;
        char *room = find_room(call, &len);
        CURLcode code = connection_receive(call->connection, room, len, &n);
        if (code == CURLE_AGAIN)
            return;
        if (code != CURLE_OK || n == 0) {
            ended(call, code);
            return;
        }
        if (!call->answered) /* until now it was the request that was counted */
            begin_window(call, clock_mono_ms());
        call->answered = true;
        count(call, n);
        burst += n;
        if (!take(call, (struct http1_bytes){room, n}))
            return;
        if (call->bare && n < len) /* epoll tells if there is more */
            return;
    }
    if (!call->bare) /* TLS may hold bytes that epoll does not know of */
        http_call_want(call, WANT_MORE);
}

/* ---- the connection ---- */

static void on_ready(void *arg, bool in, bool out)
{
    struct http_call *call = arg;
    if (call->wants & WANT_CANCEL)
        return; /* its task is posted and ends it */
    if (out)
        send_some(call);
    if (in && !call->paused)
        receive_some(call);
}

static void begin_exchange(struct http_call *call)
{
    if (http_address_refused(call, connection_peer(call->connection))) {
        end(call, CURLE_ABORTED_BY_CALLBACK);
        return;
    }
    call->unanswered++;
    call->exchanging = true;
    call->sent = 0;
    call->send_failure = CURLE_OK;
    begin_window(call, clock_mono_ms());
    send_some(call);
    watch_time(call);
}

static void on_open(void *arg, CURLcode code)
{
    struct http_call *call = arg;
    if (call->wants & WANT_CANCEL)
        return;
    if (code == CURLE_OK)
        begin_exchange(call);
    else
        fail(call, code, connection_error(call->connection));
}

static void set_up(void *arg, CURL *easy)
{
    const struct http_call *call = arg;
    const struct http_options *options = http_options();
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_URL, call->url);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, options->user_agent); /* to a proxy */
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)options->connect_timeout_ms);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)call->timeout_ms);
    if (options->ca_bundle) { /* and no others: libcurl may know of a folder of them as well */
        curl_easy_setopt(easy, CURLOPT_CAINFO, options->ca_bundle);
        curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    }
    /* It is decided; libcurl is not to decide once more. */
    curl_easy_setopt(easy, CURLOPT_PROXY, call->proxy ? call->proxy : "");
    curl_easy_setopt(easy, CURLOPT_NOPROXY, "");
    if (call->unix_socket)
        curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, call->unix_socket);
}

static const struct connection_events events = {.on_open = on_open, .on_ready = on_ready};

/* What a connection leads to, and how. Caller frees. */
static char *way(const struct http_call *call)
{
    const struct origin *origin = call->origin;
    return xprintf("%s://%s:%u by %s at %s", origin->scheme, origin->host, origin->port,
                   call->proxy ? call->proxy : "", call->unix_socket ? call->unix_socket : "");
}

static void connect_anew(struct http_call *call)
{
    char *to = way(call);
    loop_timer_stop(call->loop, &call->watchdog);
    connection_close(call->connection);
    call->reused = call->exchanging = false;
    call->connection = connection_open(call->loop, to, call->bare, set_up, &events, call);
    free(to);
    if (!call->connection)
        fail(call, CURLE_OUT_OF_MEMORY, "libcurl gave no handle");
}

void http1_start(struct http_call *call)
{
    end_request(call);
    if (buf_overflowed(&call->request)) {
        err_set(&call->err, ERR_INPUT, "%s %s: the request's header is over %d KiB", call->method,
                call->first_url.host, REQUEST_HEAD_MAX / 1024);
        end(call, CURLE_SEND_ERROR);
        return;
    }
    http1_answer_begin(&call->answer, strcmp(call->method, "HEAD") == 0);
    call->answered = false;
    call->bare = strcmp(call->origin->scheme, "http") == 0 && !call->proxy;
    call->deadline_ms = call->timeout_ms ? clock_mono_ms() + call->timeout_ms : 0;
    char *to = way(call);
    call->connection = connection_take(call->loop, to, &events, call);
    free(to);
    call->reused = call->connection != NULL;
    if (call->reused)
        begin_exchange(call);
    else
        connect_anew(call);
}

/* After a pause, or when others have had their turn. */
void http1_go_on(struct http_call *call)
{
    if (!call->exchanging || call->paused)
        return;
    char *rest = call->rest;
    struct http1_bytes bytes = {rest, call->rest_len};
    call->rest = NULL;
    call->rest_len = 0;
    begin_window(call, clock_mono_ms());
    connection_wait(call->connection, true, call->sent < request_len(call));
    if (take(call, bytes))
        receive_some(call);
    free(rest);
}
