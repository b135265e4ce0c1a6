/* SPDX-License-Identifier: Apache-2.0
 *
 * Faults that come before an answer or in its place: by libmicrohttpd where that can do it, past it
 * where not.
 */
#include "fault_answers.h"

#include <string.h>

#include "content.h"
#include "core/clock.h"
#include "core/text.h"
#include "net/url.h"
#include "wire.h"

enum { LOCATION_MAX = 16 * 1024, ENDLESS_BLOCK = 64 * 1024 };

/* The argument that keeps a redirect loop going, whatever is drawn for the requests to come. */
static const char loop_argument[] = "sim_loop";

/* ---- HTTP ------------------------------------------------------------------------------------ */

static enum MHD_Result answer_status(struct request *rq)
{
    static const char message[] = "A fault that was asked for";
    const struct fault *fault = rq->fault;
    if (fault->retry_after_s >= 0 && rq->sim->sw.retry_after == RETRY_AFTER_DATE)
        date_format_http(clock_wall_ms() + fault->retry_after_s * 1000, rq->retry_after);
    else if (fault->retry_after_s >= 0)
        snprintf(rq->retry_after, sizeof(rq->retry_after), "%lld", (long long)fault->retry_after_s);
    if (strncmp(rq->route->pattern, "/signed/", 8) == 0)
        return respond_store_error(rq, fault->number,
                                   fault->number == 503 ? "SlowDown" : "InternalError", message);
    return respond_error(rq, fault->number, message);
}

static enum MHD_Result answer_html(struct request *rq)
{
    struct buf body = BUF_INIT(4096);
    int64_t status = rq->fault->number;
    buf_printf(&body,
               "<!DOCTYPE html>\n<html><head><title>%d</title></head>\n"
               "<body><h1>%d</h1><p>An error page of a proxy.</p></body></html>\n",
               (int)status, (int)status);
    return respond_buf(rq, status, "text/html; charset=utf-8", &body);
}

static enum MHD_Result answer_broken_json(struct request *rq)
{
    struct buf body = BUF_INIT(64);
    buf_str_append(&body, "{\"job\":{\"id\":\"");
    return respond_json(rq, 200, &body);
}

/* ---- redirects ------------------------------------------------------------------------------- */

struct target {
    struct buf *out;
    const char *separator;
};

static enum MHD_Result append_argument(void *cls, enum MHD_ValueKind kind, const char *name,
                                       const char *value)
{
    (void)kind;
    struct target *target = cls;
    if (strcmp(name, loop_argument) == 0)
        return MHD_YES;
    buf_str_append(target->out, target->separator);
    url_encode(target->out, name, strlen(name), false);
    buf_byte(target->out, '=');
    if (value)
        url_encode(target->out, value, strlen(value), false);
    target->separator = "&";
    return MHD_YES;
}

/* Path and arguments of the request. */
static void append_path(struct request *rq, struct buf *out, const char *loop)
{
    const char *brace = strchr(rq->route->pattern, '{');
    if (brace) {
        buf_append(out, rq->route->pattern, (size_t)(brace - rq->route->pattern));
        url_encode(out, rq->id, strlen(rq->id), false);
        buf_str_append(out, brace + strlen("{id}"));
    } else {
        buf_str_append(out, rq->route->pattern);
    }
    struct target target = {out, "?"};
    MHD_get_connection_values(rq->connection, MHD_GET_ARGUMENT_KIND, append_argument, &target);
    if (loop)
        buf_printf(out, "%s%s=%s", target.separator, loop_argument, loop);
}

static enum MHD_Result redirect_to(struct request *rq, struct buf *location)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(0, (void *)(uintptr_t) "", MHD_RESPMEM_PERSISTENT);
    if (response)
        MHD_add_response_header(response, "Location", buf_str(location));
    buf_release(location);
    return respond(rq, MHD_HTTP_FOUND, response);
}

static enum MHD_Result answer_redirect(struct request *rq)
{
    const char *own = rq->on_signed_port ? rq->sim->signed_url : rq->sim->url;
    const char *port = strrchr(own, ':') + 1;
    const char *host = request_header(rq, "Host");
    struct buf location = BUF_INIT(LOCATION_MAX);
    switch (rq->fault->number) {
    case REDIRECT_URL:
        buf_str_append(&location, rq->fault->url);
        return redirect_to(rq, &location);
    case REDIRECT_HOST:
        buf_printf(&location, "http://localhost:%s", port);
        break;
    case REDIRECT_HTTP:
        buf_printf(&location, "http://%s", host ? host : "localhost");
        break;
    case REDIRECT_LOOPBACK:
        buf_printf(&location, "http://127.0.0.1:%s", port);
        break;
    default:
        break;
    }
    append_path(rq, &location, rq->fault->number == REDIRECT_LOOP ? "1" : NULL);
    return redirect_to(rq, &location);
}

static bool goes_on_in_loop(struct request *rq, enum MHD_Result *rc)
{
    int64_t round;
    char next[24];
    const char *value = request_argument(rq, loop_argument);
    if (!value || text_parse_int(value, 1, 1000000, &round) < 0)
        return false;
    struct buf location = BUF_INIT(LOCATION_MAX);
    snprintf(next, sizeof(next), "%lld", (long long)round + 1);
    append_path(rq, &location, next);
    *rc = redirect_to(rq, &location);
    return true;
}

/* ---- past the library ------------------------------------------------------------------------ */

static int put(struct request *rq, const char *text)
{
    return wire_send(rq->sim, rq->connection, text, strlen(text));
}

static void send_garbage(struct request *rq)
{
    static const char *const texts[] = {
        [GARBAGE_HEADER] = "HTTP/1.1 200 OK\r\nContent-Type application/json\r\n: nothing\r\n"
                           "\x01\x02\xff\r\n\r\n{}",
        [GARBAGE_LENGTH] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}\n",
        [GARBAGE_CHUNK] = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                          "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\nthree\r\n",
    };
    if (rq->fault->number > GARBAGE_BYTES) {
        put(rq, texts[rq->fault->number]);
        return;
    }
    uint64_t words[512];
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        words[i] = content_mix(rq->drawn + i);
    wire_send(rq->sim, rq->connection, words, sizeof(words));
}

static void send_headers(struct request *rq)
{
    enum { LINE = 1000 };
    int64_t left = rq->fault->number;
    char line[LINE + 1];
    if (put(rq, "HTTP/1.1 200 OK\r\n") < 0)
        return;
    for (unsigned i = 0; left > 0; i++, left -= LINE) {
        int n = snprintf(line, sizeof(line), "X-Filler-%u: ", i);
        memset(line + n, 'x', (size_t)(LINE - 2 - n));
        memcpy(line + LINE - 2, "\r\n", 3);
        if (put(rq, line) < 0)
            return;
    }
    put(rq, "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}");
}

/* Spaces: nothing is wrong with them as the beginning of JSON. */
static void send_endless(struct request *rq)
{
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                               "Transfer-Encoding: chunked\r\n\r\n";
    char block[ENDLESS_BLOCK + 16];
    int n = snprintf(block, sizeof(block), "%x\r\n", (unsigned)ENDLESS_BLOCK);
    memset(block + n, ' ', ENDLESS_BLOCK);
    memcpy(block + n + ENDLESS_BLOCK, "\r\n", 2);
    int rc = put(rq, head);
    while (rc == 0)
        rc = wire_send(rq->sim, rq->connection, block, (size_t)n + ENDLESS_BLOCK + 2);
}

/* ---- which ----------------------------------------------------------------------------------- */

bool fault_answers(struct request *rq, enum MHD_Result *rc)
{
    *rc = MHD_NO;
    if (rq->route && rq->sim->faults->n && goes_on_in_loop(rq, rc))
        return true;
    if (!rq->fault || rq->fault->kind > FAULT_DROP)
        return false;
    fault_happened(rq);
    switch (rq->fault->kind) {
    case FAULT_LATENCY:
        return !wire_wait(rq->sim, rq->connection, rq->fault->number);
    case FAULT_STATUS:
        *rc = answer_status(rq);
        break;
    case FAULT_HTML:
        *rc = answer_html(rq);
        break;
    case FAULT_BROKEN_JSON:
        *rc = answer_broken_json(rq);
        break;
    case FAULT_GARBAGE:
        send_garbage(rq);
        break;
    case FAULT_HEADERS:
        send_headers(rq);
        break;
    case FAULT_ENDLESS:
        send_endless(rq);
        break;
    case FAULT_REDIRECT:
        *rc = answer_redirect(rq);
        break;
    default:
        break;
    }
    return true;
}

bool fault_spares_bodyless(struct request *rq)
{
    const struct fault *fault = rq->fault;
    if (!fault || rq->body_done)
        return true;
    if (fault->kind != FAULT_RESET && fault->kind != FAULT_TRUNCATE && fault->kind != FAULT_STALL)
        return true;
    fault_happened(rq);
    if (fault->kind == FAULT_RESET)
        wire_reset(rq->sim, rq->connection);
    return fault->kind == FAULT_STALL && wire_wait(rq->sim, rq->connection, fault->number);
}
