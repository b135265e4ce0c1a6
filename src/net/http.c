/* SPDX-License-Identifier: Apache-2.0
 *
 * http: see http.h. A call's life: start -> attempt (-> retry wait -> attempt)* -> on_done.
 *
 * libcurl must not be entered from its own callbacks (it hangs), so what a user asks for from
 * there (start, resume, cancel) is noted and done from a loop task.
 */
#include "net/http.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "net/net_private.h"
#include "net/url.h"

enum {
    HEADERS_MAX_BYTES = 64 * 1024, /* of one answer */
    ERROR_BODY_MAX = 64 * 1024,
    REDIRECTS_MAX = 5,
    /* 512 KiB halves the CPU per byte of bulk data against libcurl's 16 and 64 KiB. */
    BULK_BUFFER = 512 * 1024,
    SMALL_BUFFER = 16 * 1024,
    RATE_MIN = 64,  /* bytes a second: what drips on below that is a stall as well */
    WHAT_MAX = 160, /* a request as it stands in messages */
};

static struct {
    struct http_options o;
    char *ca_bundle; /* owned; what o.ca_bundle points to */
    bool proxied;    /* by environment: addresses seen on sockets are the proxy's */
} config;

struct header {
    char *name;
    char *value;
    bool origin_only;
};

enum { WANT_START = 1, WANT_RESUME = 2, WANT_CANCEL = 4, WANT_RETRY = 8, WANT_END = 16 };

struct http_call {
    struct loop *loop;
    struct http_events events;
    void *arg;

    /* the request */
    const char *method;
    char *url; /* the current one, after redirects */
    struct url first_url;
    struct header headers[HTTP_HEADERS_MAX];
    size_t n_headers;
    const char *body;
    size_t body_len;
    bool has_body;
    size_t max_body;
    unsigned flags;
    int64_t timeout_ms;

    /* the attempt */
    CURL *easy;
    struct curl_slist *list; /* the headers as libcurl wants them */
    char curl_error[CURL_ERROR_SIZE];
    size_t body_sent;
    bool cross_origin; /* redirected away from the first URL's origin */
    bool in_multi;
    struct retry_state retry;
    int redirects;
    unsigned unanswered; /* see http_unanswered() */

    /* the answer */
    struct http_response rsp;
    struct answer_headers answer_headers;
    size_t header_bytes; /* of the answer, its status line included */
    bool headers_done;
    bool delivered; /* bytes went to on_data: not to be repeated */
    size_t skip;    /* bytes that libcurl will hand over once more: on_data took them already */
    struct buf answer_body;
    struct err err; /* what a callback of ours found wrong */

    unsigned wants;
    bool task_posted;
    bool ending; /* on_done runs: nothing can be wanted any more */
    struct loop_task task;
    struct loop_timer retry_timer;
};

static void run_wants(void *arg);

int http_init(const struct http_options *options, struct err *err)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return err_set(err, ERR_INTERNAL, "libcurl cannot be initialised");
    /* libcurl, unlike curl, does not look at the variable that OpenSSL's users know. */
    const char *bundle = options->ca_bundle ? options->ca_bundle : getenv("SSL_CERT_FILE");
    if (bundle && !*bundle)
        bundle = NULL;
    if (bundle && access(bundle, R_OK) < 0)
        return err_set_errno(err, ERR_CONFIG, errno, "CA bundle %s", bundle);
    free(config.ca_bundle);
    config.ca_bundle = xstrdup(bundle);
    config.o = *options;
    config.o.ca_bundle = config.ca_bundle;
    config.proxied = false;
    static const char *const names[] = {"http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy",
                                        "ALL_PROXY"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const char *proxy = getenv(names[i]);
        config.proxied |= proxy && *proxy;
    }
    return 0;
}

static void want(struct http_call *call, unsigned what)
{
    if (call->ending)
        return;
    call->wants |= what;
    if (!call->task_posted) {
        call->task_posted = true;
        loop_post(call->loop, &call->task, run_wants, call);
    }
}

/* ---- headers of the answer ---- */

const char *http_response_header(const struct http_response *rsp, const char *name)
{
    return answer_headers_get(&rsp->call->answer_headers, name);
}

static bool is_success(const struct http_call *call)
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
    if (is_success(call) && call->events.on_data && call->events.on_head &&
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
        err_set(&call->err, ERR_PROTOCOL, "%s %s: the answer's header is over %d KiB", call->method,
                call->first_url.host, HEADERS_MAX_BYTES / 1024);
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
    size_t cap = is_success(call) ? call->max_body : ERROR_BODY_MAX;
    if (len > cap - call->answer_body.len) {
        if (is_success(call)) {
            err_set(&call->err, ERR_PROTOCOL, "%s %s: the answer is over %zu bytes", call->method,
                    call->first_url.host, cap);
            return 0;
        }
        /* Of an error the beginning is enough; the rest is not read. */
        buf_append(&call->answer_body, data, cap - call->answer_body.len);
        return 0;
    }
    buf_append(&call->answer_body, data, len);
    return len;
}

static size_t on_write(char *data, size_t size, size_t n, void *arg)
{
    struct http_call *call = arg;
    size_t len = size * n;
    if (call->wants & WANT_CANCEL)
        return 0;
    if (!is_success(call) || !call->events.on_data)
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
        return CURL_WRITEFUNC_PAUSE;
    }
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
    call->unanswered++;
    if (call->redirects == 0 || config.proxied || url_is_local(&call->first_url) ||
        !redirect_address_is_local(remote_ip))
        return CURL_PREREQFUNC_OK;
    err_set(&call->err, ERR_PROTOCOL, "%s %s: redirected to the local address %s, refused",
            call->method, call->first_url.host, remote_ip);
    return CURL_PREREQFUNC_ABORT;
}

/* ---- an attempt ---- */

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
}

static void set_up_method(struct http_call *call)
{
    CURL *easy = call->easy;
    if (strcmp(call->method, "HEAD") == 0) {
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    } else if (call->has_body) {
        curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, call->method);
        curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)call->body_len);
        curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_read);
        curl_easy_setopt(easy, CURLOPT_READDATA, call);
        curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, on_seek);
        curl_easy_setopt(easy, CURLOPT_SEEKDATA, call);
        curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE,
                         (long)(call->body_len > SMALL_BUFFER ? BULK_BUFFER : SMALL_BUFFER));
    } else {
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, call->method);
    }
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE,
                     (long)(call->events.on_data ? BULK_BUFFER : SMALL_BUFFER));
}

static void set_up_easy(struct http_call *call)
{
    CURL *easy = call->easy;
    curl_easy_setopt(easy, CURLOPT_PRIVATE, call);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->curl_error);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_URL, call->url);
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, config.o.user_agent);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)config.o.connect_timeout_ms);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, (long)RATE_MIN);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME,
                     (long)((config.o.stall_timeout_ms + 999) / 1000));
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)call->timeout_ms);
    if (call->flags & HTTP_NO_PROXY)
        curl_easy_setopt(easy, CURLOPT_PROXY, "");
    if (config.o.ca_bundle)
        curl_easy_setopt(easy, CURLOPT_CAINFO, config.o.ca_bundle);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, call);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_write);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
    curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_prereq);
    curl_easy_setopt(easy, CURLOPT_PREREQDATA, call);
    set_up_method(call);
}

static void reset_answer(struct http_call *call)
{
    answer_headers_release(&call->answer_headers);
    buf_release(&call->answer_body);
    call->answer_body = BUF_INIT(call->max_body > ERROR_BODY_MAX ? call->max_body : ERROR_BODY_MAX);
    call->rsp = (struct http_response){.content_length = -1, .body = "", .call = call};
    call->headers_done = false;
    call->header_bytes = 0;
    call->body_sent = 0;
    call->skip = 0;
    call->curl_error[0] = '\0';
    memset(&call->err, 0, sizeof(call->err));
}

static void drop_easy(struct http_call *call)
{
    if (call->easy) {
        if (call->in_multi)
            curl_multi_remove_handle(loop_multi(call->loop), call->easy);
        curl_easy_cleanup(call->easy);
    }
    call->easy = NULL;
    call->in_multi = false;
    curl_slist_free_all(call->list);
    call->list = NULL;
}

/* Tells the end and frees the call. err NULL: success. */
static void finish(struct http_call *call, const struct err *err)
{
    if (call->task_posted) { /* the task comes first: nothing of the call outlives on_done */
        call->err = err ? *err : (struct err){0};
        call->wants |= WANT_END;
        return;
    }
    call->ending = true;
    drop_easy(call);
    call->rsp.url = call->url;
    call->rsp.body = buf_str(&call->answer_body);
    call->rsp.body_len = call->answer_body.len;
    call->events.on_done(call->arg, call->headers_done ? &call->rsp : NULL, err);
    answer_headers_release(&call->answer_headers);
    buf_release(&call->answer_body);
    for (size_t i = 0; i < call->n_headers; i++) {
        free(call->headers[i].name);
        free(call->headers[i].value);
    }
    url_release(&call->first_url);
    free(call->url);
    free(call);
}

static void start_attempt(struct http_call *call)
{
    struct err err = {0};
    drop_easy(call);
    reset_answer(call);
    call->easy = curl_easy_init();
    if (!call->easy) {
        err_set(&err, ERR_INTERNAL, "libcurl gave no handle");
        finish(call, &err);
        return;
    }
    set_up_easy(call);
    set_up_headers(call);
    if (call->events.prepare && call->events.prepare(call->arg, call, &err) < 0) {
        finish(call, &err);
        return;
    }
    if (call->err.code != ERR_NONE) { /* of http_add_header() */
        err = call->err;
        finish(call, &err);
        return;
    }
    curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, call->list);
    call->retry.attempts++;
    CURLMcode code = curl_multi_add_handle(loop_multi(call->loop), call->easy);
    CHECK(code == CURLM_OK);
    call->in_multi = true;
}

/* ---- redirects ---- */

/* Sets the call up for the redirect's target, or says why not. */
static int follow(struct http_call *call, struct err *err)
{
    const char *location = http_response_header(&call->rsp, "Location");
    char *target = NULL;
    bool same_origin = false;
    if (!location)
        err_set(err, ERR_PROTOCOL, "answered %d without a Location", call->rsp.status);
    else if (call->redirects >= REDIRECTS_MAX)
        err_set(err, ERR_PROTOCOL, "redirected more than %d times", REDIRECTS_MAX);
    else
        target = redirect_target(call->url, &call->first_url, location, &same_origin, err);
    if (!target) {
        err_prefix(err, "%s %s", call->method, call->first_url.host);
        return -1;
    }
    call->redirects++;
    call->cross_origin |= !same_origin;
    free(call->url);
    call->url = target;
    return 0;
}

/* ---- the end of an attempt ---- */

static void describe(const struct http_call *call, char out[WHAT_MAX])
{
    /* Without the query: a signed URL's secret is there. */
    int len = (int)strcspn(call->url, "?#");
    snprintf(out, WHAT_MAX, "%s %.*s", call->method, len, call->url);
}

/* The body of a refusal says what it is about; half of it does not. Of a server's fault the status
 * is enough, and of more than we read the beginning. */
static bool reason_is_cut(const struct http_call *call)
{
    int status = call->rsp.status;
    size_t len = call->answer_body.len;
    return status >= 400 && status < 500 && status != 429 && len < ERROR_BODY_MAX &&
           call->rsp.content_length > (int64_t)len;
}

/* What the attempt came to; ERR_NONE is a 2xx. */
static struct err judge(struct http_call *call, CURLcode code)
{
    struct err err = call->err;
    if (err.code != ERR_NONE)
        return err;
    char what[WHAT_MAX];
    describe(call, what);
    bool error_status = call->headers_done && !is_success(call);
    if (error_status && !(code != CURLE_OK && reason_is_cut(call))) {
        const char *after = http_response_header(&call->rsp, "Retry-After");
        err_set(&err, ERR_HTTP, "%s answered %d", what, call->rsp.status);
        err.http_status = call->rsp.status;
        err.retry_after_ms = after ? retry_after_ms(after) : 0;
    } else if (code != CURLE_OK) {
        net_error_from_curl(&err, code, what, call->curl_error);
    } else if (!call->headers_done) {
        /* libcurl takes the end of a connection within the headers for the end of the answer. */
        err_set(&err, ERR_NETWORK, "%s: the connection ended within the answer's headers", what);
    }
    return err;
}

static bool may_follow(const struct http_call *call)
{
    return (call->flags & HTTP_FOLLOW) &&
           (strcmp(call->method, "GET") == 0 || strcmp(call->method, "HEAD") == 0);
}

static void retry_due(void *arg)
{
    want(arg, WANT_RETRY);
}

void http_easy_done(CURL *easy, CURLcode code)
{
    char *private = NULL;
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &private);
    struct http_call *call = (struct http_call *)(void *)private;
    if (call->wants & WANT_CANCEL)
        return; /* its task is posted and ends it */
    struct err err = judge(call, code);
    if (call->unanswered && retry_answered(&err))
        call->unanswered--;
    if (err.code == ERR_HTTP && err.http_status >= 301 && err.http_status <= 308 &&
        err.http_status != 304 && may_follow(call)) {
        memset(&err, 0, sizeof(err));
        if (follow(call, &err) == 0) {
            call->retry.attempts--; /* a step of the way is not a retry */
            start_attempt(call);
            return;
        }
    }
    struct retry_budget *budget = loop_retry_budget(call->loop);
    int64_t delay_ms;
    if (err.code == ERR_NONE) {
        retry_succeeded(budget, &call->retry);
        finish(call, NULL);
    } else if (!call->delivered && !(call->flags & HTTP_NO_RETRY) && call->err.code == ERR_NONE &&
               retry_wanted(budget, &call->retry, &err, config.o.max_attempts, &delay_ms)) {
        log_debug("%s; again in %lld ms", err.msg, (long long)delay_ms);
        loop_timer_start(call->loop, &call->retry_timer, delay_ms, retry_due, call);
    } else {
        finish(call, &err);
    }
}

/* ---- what users ask for, done outside libcurl's callbacks ---- */

static void run_wants(void *arg)
{
    struct http_call *call = arg;
    unsigned wants = call->wants;
    call->wants = 0;
    call->task_posted = false;
    struct err err = call->err;
    if (wants & WANT_CANCEL) {
        err_set(&err, ERR_CANCELLED, "cancelled");
        loop_timer_stop(call->loop, &call->retry_timer);
        finish(call, &err);
    } else if ((wants & WANT_END) || ((wants & WANT_START) && err.code != ERR_NONE)) {
        finish(call, err.code == ERR_NONE ? NULL : &err);
    } else if (wants & (WANT_START | WANT_RETRY)) {
        start_attempt(call);
    } else if ((wants & WANT_RESUME) && call->in_multi) {
        curl_easy_pause(call->easy, CURLPAUSE_CONT);
    }
}

struct http_call *http_start(struct loop *loop, const struct http_request *rq,
                             const struct http_events *events, void *arg)
{
    CHECK(rq->n_headers <= HTTP_HEADERS_MAX);
    struct http_call *call = xcalloc(1, sizeof(*call));
    call->loop = loop;
    call->events = *events;
    call->arg = arg;
    call->method = rq->method;
    call->url = xstrdup(rq->url);
    call->body = rq->body;
    call->body_len = rq->body_len;
    call->has_body = rq->has_body || rq->body_len > 0;
    call->max_body = rq->max_body;
    call->flags = rq->flags;
    call->timeout_ms = rq->timeout_ms;
    for (size_t i = 0; i < rq->n_headers; i++)
        call->headers[call->n_headers++] = (struct header){
            .name = xstrdup(rq->headers[i].name),
            .value = xstrdup(rq->headers[i].value),
            .origin_only = rq->headers[i].origin_only,
        };
    reset_answer(call);
    /* A bad URL is told from the loop, like everything else. */
    (void)!url_parse(rq->url, &call->first_url, &call->err);
    want(call, WANT_START);
    return call;
}

unsigned http_unanswered(const struct http_call *call)
{
    return call->unanswered;
}

void http_resume(struct http_call *call)
{
    want(call, WANT_RESUME);
}

void http_cancel(struct http_call *call)
{
    want(call, WANT_CANCEL);
}
