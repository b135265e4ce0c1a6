/* SPDX-License-Identifier: Apache-2.0
 *
 * Passing on, and the faults on the way.
 */
#include "relay.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/mem.h"
#include "core/text.h"
#include "http1.h"
#include "wire.h"

/* How an exchange went on, and so what becomes of the connection. */
enum end {
    END_NOT_YET,
    END_NEXT,  /* the next request */
    END_CLOSE, /* orderly, as one of the two wished */
    END_CUT,   /* by a fault */
};

struct exchange {
    struct head request, answer;
    struct hit hit;
    struct body request_body, answer_body;
    bool in_flight;    /* as rules count it */
    bool answer_begun; /* its final head was seen */
    bool server_deaf;  /* it takes no more of the request; its answer may still come */
    uint64_t answer_bytes, answer_limit; /* handed to the client, head included */
    uint64_t body_limit;                 /* of the answer's body, for FAULT_TRUNCATE */
};

struct relay {
    struct proxy *proxy;
    struct wire client, server;
    uint64_t budget; /* bytes until the connection is cut, both directions */
    bool has_budget;
    bool rst;      /* how it is cut */
    bool reused;   /* not the first request */
    uint64_t rate; /* bytes a second; 0: no limit */
};

/* 0; -1 when the receiver is gone, -2 when the connection is to be cut. */
static int pass(struct relay *r, struct wire *to, const char *data, size_t len)
{
    bool cut = r->has_budget && len > r->budget;
    if (cut)
        len = (size_t)r->budget;
    if (r->has_budget)
        r->budget -= len;
    size_t slice = r->rate ? (size_t)r->rate / 20 + 1 : len;
    for (size_t at = 0; at < len; at += slice) {
        if (wire_send(to, data + at, len - at < slice ? len - at : slice) < 0)
            return -1;
        if (r->rate)
            wire_sleep(50);
    }
    return cut ? -2 : 0;
}

static enum end pass_request(struct relay *r, struct exchange *x)
{
    uint64_t limit = UINT64_MAX;
    if (x->hit.fault == FAULT_CUT_REQUEST)
        limit = (uint64_t)(x->hit.fraction * (double)x->request.content_length);
    size_t len = r->client.len;
    uint64_t allowed = limit - x->request_body.passed;
    bool cut = len > allowed;
    size_t n = body_take(&x->request_body, r->client.data, cut ? (size_t)allowed : len);
    int rc = x->server_deaf ? 0 : pass(r, &r->server, r->client.data, n);
    wire_drop(&r->client, n);
    if (rc == -1)
        x->server_deaf = true;
    return rc == -2 || cut ? END_CUT : END_NOT_YET;
}

static void is_answered(struct relay *r, struct exchange *x)
{
    if (x->in_flight)
        rules_answered(r->proxy->rules);
    x->in_flight = false;
}

/* To the client, unless a fault has a say in it. */
static enum end give(struct relay *r, struct exchange *x, const char *data, size_t len)
{
    /* Before the client knows, who may then send the next one at once. */
    if (x->answer_body.ended)
        is_answered(r, x);
    if (x->hit.fault == FAULT_LOSE_ANSWER)
        return END_NOT_YET;
    uint64_t allowed = x->answer_limit - x->answer_bytes;
    bool over = len > allowed;
    if (over)
        len = (size_t)allowed;
    x->answer_bytes += len;
    int rc = pass(r, &r->client, data, len);
    if (rc < 0)
        return rc == -2 ? END_CUT : END_CLOSE;
    if (over && x->hit.fault == FAULT_STALL)
        wire_wait_gone(&r->client, x->hit.ms);
    return over ? END_CUT : END_NOT_YET;
}

/* The head with another Content-Length. */
static void relabel(const char *head, size_t len, uint64_t length, struct buf *out)
{
    for (const char *at = head, *end; at < head + len; at = end) {
        end = (const char *)memchr(at, '\n', (size_t)(head + len - at)) + 1;
        if (strncasecmp(at, "Content-Length:", 15) == 0)
            buf_printf(out, "Content-Length: %llu\r\n", (unsigned long long)length);
        else
            buf_append(out, at, (size_t)(end - at));
    }
}

static enum end begin_answer(struct relay *r, struct exchange *x, const char *head, size_t len)
{
    x->answer_begun = true;
    x->answer_body = body_of_answer(&x->answer, x->request.method);
    bool sized = x->answer_body.kind == BODY_LENGTH;
    double body_len = sized ? (double)x->answer_body.left : 64 * 1024;
    x->answer_limit = x->body_limit = UINT64_MAX;
    if (x->hit.fault == FAULT_CUT_ANSWER || x->hit.fault == FAULT_STALL)
        x->answer_limit = (uint64_t)(x->hit.fraction * ((double)len + body_len));
    if (x->hit.fault == FAULT_DELAY)
        wire_sleep(x->hit.ms);
    if (x->hit.fault != FAULT_TRUNCATE || body_len == 0) /* the length in a HEAD's is another's */
        return give(r, x, head, len);
    x->body_limit = (uint64_t)(x->hit.fraction * body_len);
    struct buf text = BUF_INIT(2 * HEAD_MAX_BYTES);
    relabel(head, len, x->body_limit, &text);
    enum end end = give(r, x, buf_str(&text), text.len);
    buf_release(&text);
    return end;
}

/* Of what the server has sent: one head, or body. */
static enum end pass_answer(struct relay *r, struct exchange *x)
{
    size_t n;
    enum end end;
    if (!x->answer_begun) {
        n = head_length(r->server.data, r->server.len);
        if (n == 0)
            return r->server.len >= HEAD_MAX_BYTES ? END_CLOSE : END_NOT_YET;
        if (head_parse(r->server.data, n, &x->answer) < 0 || !x->answer.status)
            return END_CLOSE;
        if (x->answer.status >= 200)
            end = begin_answer(r, x, r->server.data, n);
        else
            end = pass(r, &r->client, r->server.data, n) < 0 ? END_CLOSE : END_NOT_YET;
    } else {
        uint64_t before = x->answer_body.passed;
        n = body_take(&x->answer_body, r->server.data, r->server.len);
        uint64_t kept = before < x->body_limit ? x->body_limit - before : 0;
        end = give(r, x, r->server.data, n < kept ? n : (size_t)kept);
    }
    wire_drop(&r->server, n);
    return end;
}

static enum end after_answer(const struct relay *r, const struct exchange *x)
{
    if (x->hit.fault == FAULT_LOSE_ANSWER)
        return END_CUT;
    bool truncated_stream = x->hit.fault == FAULT_TRUNCATE && x->answer_body.kind != BODY_LENGTH;
    return x->answer.close || x->request.close || !x->request_body.ended || r->server.len ||
                   truncated_stream || x->answer_body.kind == BODY_UNTIL_CLOSE
               ? END_CLOSE
               : END_NEXT;
}

/* Both directions at once, since a server may answer before it has read everything. */
static enum end pump(struct relay *r, struct exchange *x)
{
    for (;;) {
        enum end end = END_NOT_YET;
        if (r->client.len && !x->request_body.ended)
            end = pass_request(r, x);
        for (size_t before = 0; end == END_NOT_YET && r->server.len && r->server.len != before;) {
            before = r->server.len;
            end = pass_answer(r, x);
            if (end == END_NOT_YET && x->answer_begun && x->answer_body.ended)
                return after_answer(r, x);
        }
        if (end != END_NOT_YET)
            return end;
        if (x->answer_begun && x->answer_body.ended)
            return after_answer(r, x);
        struct pollfd fds[] = {
            {.fd = r->client.len ? -1 : r->client.fd, .events = POLLIN},
            {.fd = r->server.fd, .events = POLLIN},
        };
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            return END_CLOSE;
        if (fds[0].revents && wire_receive(&r->client) <= 0)
            return END_CLOSE;
        if (fds[1].revents && wire_receive(&r->server) <= 0)
            return x->answer_begun && x->answer_body.kind == BODY_UNTIL_CLOSE ? after_answer(r, x)
                                                                              : END_CLOSE;
    }
}

static enum end say(struct relay *r, int status, const char *headers, const char *body)
{
    struct buf text = BUF_INIT(64 * 1024);
    buf_printf(&text, "HTTP/1.1 %d Said\r\n%sContent-Length: %zu\r\n\r\n%s", status, headers,
               strlen(body), body);
    int rc = wire_send(&r->client, buf_str(&text), text.len);
    buf_release(&text);
    return rc < 0 ? END_CLOSE : END_NEXT;
}

/* The request is read to its end and goes nowhere. */
static enum end answer_instead(struct relay *r, struct exchange *x)
{
    if (x->request.expects_continue &&
        wire_send(&r->client, "HTTP/1.1 100 Continue\r\n\r\n", 25) < 0)
        return END_CLOSE;
    while (!x->request_body.ended) {
        if (r->client.len == 0 && wire_receive(&r->client) <= 0)
            return END_CLOSE;
        wire_drop(&r->client, body_take(&x->request_body, r->client.data, r->client.len));
    }
    char headers[128] = "Content-Type: application/xml\r\n", body[256] = "";
    if (x->hit.retry_after_s >= 0)
        snprintf(headers, sizeof(headers), "Content-Type: application/xml\r\nRetry-After: %d\r\n",
                 x->hit.retry_after_s);
    if (strcmp(x->request.method, "HEAD") != 0)
        snprintf(body, sizeof(body),
                 "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>%s</Code>"
                 "<Message>Said by faultproxy.</Message></Error>",
                 x->hit.code);
    x->answer.status = x->hit.status;
    return say(r, x->hit.status, headers, body);
}

static enum end control(struct relay *r, const struct head *request)
{
    struct proxy *proxy = r->proxy;
    if (strcmp(request->path, "/.faultproxy/off") == 0)
        rules_switch(proxy->rules, false);
    else if (strcmp(request->path, "/.faultproxy/on") == 0)
        rules_switch(proxy->rules, true);
    else if (strcmp(request->path, "/.faultproxy/stats") != 0)
        return say(r, 404, "", "");
    struct buf text = BUF_INIT(32 * 1024);
    buf_printf(&text, "{\"connections\":%lld,\"requests\":%lld,\"faults\":{",
               atomic_load(&proxy->connections), atomic_load(&proxy->requests));
    for (enum fault fault = FAULT_NONE + 1; fault < FAULT_COUNT; fault++)
        buf_printf(&text, "%s\"%s\":%lld", fault > 1 ? "," : "", fault_name(fault),
                   atomic_load(&proxy->faults[fault]));
    buf_str_append(&text, "},\"rules\":");
    rules_report(proxy->rules, &text);
    buf_byte(&text, '}');
    enum end end = say(r, 200, "Content-Type: application/json\r\n", buf_str(&text));
    buf_release(&text);
    return end;
}

/* One line of JSON on stderr for each request. */
static void tell(const struct exchange *x, enum end end)
{
    char *target =
        xprintf("%s%s%s", x->request.path, *x->request.query ? "?" : "", x->request.query);
    struct buf line = BUF_INIT(64 * 1024);
    buf_printf(&line, "{\"method\":\"%s\",\"target\":", x->request.method);
    text_json_quote(&line, target);
    buf_printf(&line, ",\"status\":%d,\"fault\":\"%s\",\"cut\":%s}\n", x->answer.status,
               fault_name(x->hit.fault), end == END_CUT ? "true" : "false");
    fputs(buf_str(&line), stderr);
    buf_release(&line);
    free(target);
}

static enum end forward(struct relay *r, struct exchange *x, const char *head, size_t len)
{
    bool bodiless = x->request.content_length <= 0;
    if (x->hit.fault == FAULT_CUT_REQUEST && (bodiless || x->hit.fraction <= 0))
        return END_CUT;
    if (r->server.fd >= 0 && wire_is_stale(&r->server))
        wire_close(&r->server, false);
    if (r->server.fd < 0 && wire_connect(&r->server, r->proxy->target) < 0)
        return END_CLOSE;
    int rc = pass(r, &r->server, head, len);
    if (rc < 0)
        return rc == -2 ? END_CUT : END_CLOSE;
    return END_NOT_YET;
}

static enum end exchange(struct relay *r)
{
    struct exchange x = {.answer_limit = UINT64_MAX, .body_limit = UINT64_MAX};
    size_t len;
    while ((len = head_length(r->client.data, r->client.len)) == 0)
        if (r->client.len >= HEAD_MAX_BYTES || wire_receive(&r->client) <= 0)
            return END_CLOSE;
    if (head_parse(r->client.data, len, &x.request) < 0 || x.request.status)
        return END_CLOSE;
    x.request_body = body_of_request(&x.request);
    if (strncmp(x.request.path, "/.faultproxy/", 13) == 0) {
        wire_drop(&r->client, len);
        return control(r, &x.request);
    }
    x.hit = rules_for_request(r->proxy->rules, x.request.method, x.request.path, x.request.query,
                              r->reused);
    x.in_flight = x.hit.fault != FAULT_ANSWER;
    r->reused = true;
    r->rate = x.hit.fault == FAULT_THROTTLE ? x.hit.bytes : 0;
    atomic_fetch_add(&r->proxy->requests, 1);
    atomic_fetch_add(&r->proxy->faults[x.hit.fault], 1);
    enum end end = END_NOT_YET;
    if (x.hit.fault != FAULT_ANSWER)
        end = forward(r, &x, r->client.data, len);
    wire_drop(&r->client, len);
    if (x.hit.fault == FAULT_ANSWER)
        end = answer_instead(r, &x);
    if (end == END_NOT_YET)
        end = pump(r, &x);
    if (end == END_CUT && x.hit.fault != FAULT_NONE)
        r->rst = x.hit.rst;
    is_answered(r, &x);
    tell(&x, end);
    return end;
}

void relay_run(struct proxy *proxy, int client_fd)
{
    struct relay r = {.proxy = proxy};
    wire_init(&r.client, client_fd);
    wire_init(&r.server, -1);
    atomic_fetch_add(&proxy->connections, 1);
    struct hit hit = rules_for_connection(proxy->rules);
    r.has_budget = hit.fault == FAULT_CUT_CONNECTION;
    r.budget = hit.bytes;
    r.rst = hit.rst;
    if (r.has_budget)
        atomic_fetch_add(&proxy->faults[FAULT_CUT_CONNECTION], 1);
    enum end end;
    do
        end = exchange(&r);
    while (end == END_NEXT);
    bool rst = end == END_CUT && r.rst;
    if (!rst)
        wire_linger(&r.client);
    wire_close(&r.client, rst);
    wire_close(&r.server, rst);
    wire_release(&r.client);
    wire_release(&r.server);
}
