/* SPDX-License-Identifier: Apache-2.0
 *
 * http_easy: an attempt as libcurl sees it: its options, and the callbacks that take the answer.
 */
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "net/http_call.h"

enum {
    HEADERS_MAX_BYTES = 64 * 1024, /* of one answer */
    /* Against libcurl's 16 and 64 KiB they halve the CPU per byte of bulk data. What is sent in a
     * turn is more than what is received, so that parts are gone before further ones are there. */
    DOWN_BUFFER = 256 * 1024,
    UP_BUFFER = 512 * 1024,
    SMALL_BUFFER = 16 * 1024,
    JOINED_MAX = 64 * 1024 - 1, /* libcurl's, of a body that goes out with its head */
    BURST_MAX = DOWN_BUFFER,    /* bytes in a row; see let_others_in() */
    RATE_MIN = 64,              /* bytes a second: what drips on below that is a stall as well */
    URL_TOLD_MAX = 150,
};

/* Whose answer it is that is refused. Without the query: a signed URL's secret is there. */
static void name_request(struct http_call *call)
{
    int len = (int)strcspn(call->url, "?#");
    err_prefix(&call->err, "%s %.*s", call->method, len < URL_TOLD_MAX ? len : URL_TOLD_MAX,
               call->url);
}

/* ---- headers of the answer ---- */

const char *http_response_header(const struct http_response *rsp, const char *name)
{
    return answer_headers_get(&rsp->call->answer_headers, name);
}

bool http_call_is_success(const struct http_call *call)
{
    return call->rsp.status >= 200 && call->rsp.status < 300;
}

static int headers_complete(struct http_call *call)
{
    if (call->rsp.status < 200) /* 100 Continue and the like: the real answer follows */
        return 0;
    call->headers_done = true;
    curl_off_t length = -1;
    curl_easy_getinfo(call->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    call->rsp.content_length = length;
    /* Of several lengths libcurl takes the last; RFC 9112, 6.3, takes none. */
    const char *lengths = http_response_header(&call->rsp, "Content-Length");
    if (lengths && strchr(lengths, ',')) {
        err_set(&call->err, ERR_PROTOCOL, "the answer has more than one length");
        name_request(call);
        return -1;
    }
    if (http_call_is_success(call) && call->events.on_data && call->events.on_head &&
        !(call->wants & WANT_CANCEL))
        return call->events.on_head(call->arg, &call->rsp, &call->err);
    return 0;
}

/* libcurl: one line of the answer's header, an empty one at its end. */
static size_t on_header(char *line, size_t size, size_t n, void *arg)
{
    struct http_call *call = arg;
    size_t len = size * n;
    if (call->headers_done) /* trailers */
        return len;
    call->header_bytes += len;
    if (call->header_bytes > HEADERS_MAX_BYTES) {
        err_set(&call->err, ERR_PROTOCOL, "the answer's header is over %d KiB",
                HEADERS_MAX_BYTES / 1024);
        name_request(call);
        return 0;
    }
    if (len >= 5 && memcmp(line, "HTTP/", 5) == 0) {
        answer_headers_release(&call->answer_headers);
        long status = 0;
        curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
        call->rsp.status = (int)status;
    } else if (len <= 2 && (line[0] == '\r' || line[0] == '\n')) {
        return headers_complete(call) < 0 ? 0 : len;
    } else {
        answer_headers_add(&call->answer_headers, line, len);
    }
    return len;
}

/* ---- bodies ---- */

static size_t collect(struct http_call *call, const char *data, size_t len)
{
    size_t cap = http_call_is_success(call) ? call->max_body : ERROR_BODY_MAX;
    if (len > cap - call->answer_body.len) {
        if (http_call_is_success(call)) {
            err_set(&call->err, ERR_PROTOCOL, "the answer is over %zu bytes", cap);
            name_request(call);
            return 0;
        }
        /* Of an error the beginning is enough; the rest is not read. */
        buf_append(&call->answer_body, data, cap - call->answer_body.len);
        return 0;
    }
    buf_append(&call->answer_body, data, len);
    return len;
}

/* libcurl (7.88 and others) reads from a socket that has more, a hundred times its buffer, before
 * it looks at the next one. From a source at hand that is all of --memory, and no part is sent in
 * the meantime. */
static void let_others_in(struct http_call *call, size_t len)
{
    call->burst += len;
    if (call->burst < BURST_MAX)
        return;
    call->burst = 0;
    curl_easy_pause(call->easy, CURLPAUSE_RECV);
    http_call_want(call, WANT_MORE);
}

static size_t on_write(char *data, size_t size, size_t n, void *arg)
{
    struct http_call *call = arg;
    size_t len = size * n;
    if (call->wants & WANT_CANCEL)
        return 0;
    if (!http_call_is_success(call) || !call->events.on_data)
        return collect(call, data, len);
    /* libcurl knows all or nothing: after a pause it repeats the bytes from where it stood. */
    size_t again = call->skip < len ? call->skip : len;
    call->skip -= again;
    size_t taken = again == len ? 0 : call->events.on_data(call->arg, data + again, len - again);
    if (taken == HTTP_PAUSE)
        taken = 0;
    CHECK(taken <= len - again);
    call->delivered |= taken > 0;
    if (again + taken < len) {
        call->skip = again + taken;
        call->paused = true;
        turn_pause(&call->turn);
        return CURL_WRITEFUNC_PAUSE;
    }
    let_others_in(call, len);
    return len;
}

static size_t on_read(char *out, size_t size, size_t n, void *arg)
{
    struct http_call *call = arg;
    size_t len = call->body_len - call->body_sent;
    if (len > size * n)
        len = size * n;
    if (len)
        memcpy(out, call->body + call->body_sent, len);
    call->body_sent += len;
    return len;
}

/* libcurl sends again by itself when a kept-alive connection turns out to be dead. */
static int on_seek(void *arg, curl_off_t offset, int origin)
{
    struct http_call *call = arg;
    if (origin != SEEK_SET || offset < 0 || (size_t)offset > call->body_len)
        return CURL_SEEKFUNC_FAIL;
    call->body_sent = (size_t)offset;
    return CURL_SEEKFUNC_OK;
}

/* Before a request goes out on a connection, new or reused: the address is known by now, whatever
 * the name was. */
static int on_prereq(void *arg, char *remote_ip, char *local_ip, int remote_port, int local_port)
{
    (void)local_ip;
    (void)remote_port;
    (void)local_port;
    struct http_call *call = arg;
    bool guarded = (call->flags & HTTP_PUBLIC_ONLY) ||
                   (call->redirects > 0 && !url_is_local(&call->first_url));
    if (!guarded || call->proxied || !redirect_address_is_local(remote_ip)) {
        call->unanswered++;
        return CURL_PREREQFUNC_OK;
    }
    err_set(&call->err, ERR_PROTOCOL, "%s %s: %s to the local address %s, refused", call->method,
            call->first_url.host, call->redirects > 0 ? "redirected" : "leads", remote_ip);
    return CURL_PREREQFUNC_ABORT;
}

/* ---- the request ---- */

void http_add_header(struct http_call *call, const char *name, const char *value)
{
    /* It would be a header of its own, or the body. */
    if (strpbrk(name, "\r\n") || strpbrk(value, "\r\n")) {
        err_set(&call->err, ERR_INPUT, "%s %s: header %s: its value has a line break, refused",
                call->method, call->first_url.host, name);
        return;
    }
    char *line = *value ? xprintf("%s: %s", name, value) : xprintf("%s;", name);
    call->list = curl_slist_append(call->list, line);
    free(line);
}

static void set_up_headers(struct http_call *call)
{
    for (size_t i = 0; i < call->n_headers; i++)
        if (!call->headers[i].origin_only || !call->cross_origin)
            http_add_header(call, call->headers[i].name, call->headers[i].value);
    /* Parts are in memory and servers answer early errors anyway: waiting for a 100 costs a round
     * trip each. */
    call->list = curl_slist_append(call->list, "Expect:");
    /* What the request says of its body stands; libcurl is not to call it a form. */
    call->list = curl_slist_append(call->list, "Content-Type:");
}

static void set_up_method(struct http_call *call)
{
    CURL *easy = call->easy;
    if (strcmp(call->method, "HEAD") == 0) {
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    } else if (call->has_body && call->body_len <= JOINED_MAX) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)call->body_len);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, call->body_len ? call->body : "");
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, call->method);
    } else if (call->has_body) {
        curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, call->method);
        curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)call->body_len);
        curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_read);
        curl_easy_setopt(easy, CURLOPT_READDATA, call);
        curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, on_seek);
        curl_easy_setopt(easy, CURLOPT_SEEKDATA, call);
        curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE,
                         (long)(call->body_len < UP_BUFFER ? call->body_len : UP_BUFFER));
    } else {
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, call->method);
    }
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE,
                     (long)(call->events.on_data ? DOWN_BUFFER : SMALL_BUFFER));
}

/* Decided here, so that it is known; and libcurl is not to decide once more. */
static void set_up_proxy(struct http_call *call)
{
    const char *proxy = call->flags & HTTP_NO_PROXY || call->unix_socket
                            ? NULL
                            : proxy_by_environment(call->origin->scheme, call->origin->host);
    call->proxied = proxy != NULL;
    curl_easy_setopt(call->easy, CURLOPT_PROXY, proxy ? proxy : "");
    curl_easy_setopt(call->easy, CURLOPT_NOPROXY, "");
}

void http_easy_set_up(struct http_call *call)
{
    const struct http_options *options = http_options();
    CURL *easy = call->easy;
    curl_easy_setopt(easy, CURLOPT_PRIVATE, call);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->curl_error);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_URL, call->url);
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, options->user_agent);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)options->connect_timeout_ms);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, (long)RATE_MIN);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME,
                     call->flags & HTTP_NO_STALL ? 0L
                                                 : (long)((call->stall_timeout_ms + 999) / 1000));
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)call->timeout_ms);
    if (options->ca_bundle) { /* and no others: libcurl may know of a folder of them as well */
        curl_easy_setopt(easy, CURLOPT_CAINFO, options->ca_bundle);
        curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    }
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, call);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_write);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
    curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_prereq);
    curl_easy_setopt(easy, CURLOPT_PREREQDATA, call);
    if (call->unix_socket)
        curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, call->unix_socket);
    set_up_method(call);
    set_up_proxy(call);
    set_up_headers(call);
}
