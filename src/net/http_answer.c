/* SPDX-License-Identifier: Apache-2.0
 *
 * http_answer: what comes back of an exchange, whoever reads it from the wire.
 */
#include <string.h>

#include "net/http_call.h"

enum { URL_TOLD_MAX = 150 };

/* Without the query: a signed URL's secret is there. */
void http_answer_refuse(struct http_call *call, const char *why)
{
    int len = (int)strcspn(call->url, "?#");
    err_set(&call->err, ERR_PROTOCOL, "%s %.*s: %s", call->method,
            len < URL_TOLD_MAX ? len : URL_TOLD_MAX, call->url, why);
}

const char *http_response_header(const struct http_response *rsp, const char *name)
{
    return answer_headers_get(&rsp->call->answer_headers, name);
}

bool http_call_is_success(const struct http_call *call)
{
    return call->rsp.status >= 200 && call->rsp.status < 300;
}

int http_answer_head(struct http_call *call)
{
    call->headers_done = true;
    if (http_call_is_success(call) && call->events.on_data && call->events.on_head &&
        !(call->wants & WANT_CANCEL))
        return call->events.on_head(call->arg, &call->rsp, &call->err);
    return 0;
}

static ssize_t collect(struct http_call *call, const char *data, size_t len)
{
    bool success = http_call_is_success(call);
    size_t cap = success ? call->max_body : ERROR_BODY_MAX;
    size_t room = cap - call->answer_body.len;
    if (len <= room) {
        buf_append(&call->answer_body, data, len);
        return (ssize_t)len;
    }
    char why[64];
    snprintf(why, sizeof(why), "the answer is over %zu bytes", cap);
    if (success)
        http_answer_refuse(call, why);
    else /* the beginning is enough; the rest is not read */
        buf_append(&call->answer_body, data, room);
    return -1;
}

ssize_t http_answer_body(struct http_call *call, const char *data, size_t len)
{
    if (call->wants & WANT_CANCEL)
        return -1;
    if (!http_call_is_success(call) || !call->events.on_data)
        return collect(call, data, len);
    size_t taken = call->events.on_data(call->arg, data, len);
    if (taken == HTTP_PAUSE)
        taken = 0;
    CHECK(taken <= len);
    call->delivered |= taken > 0;
    if (taken < len) {
        call->paused = true;
        turn_pause(&call->turn);
    }
    return (ssize_t)taken;
}

bool http_address_refused(struct http_call *call, const char *ip)
{
    bool guarded = (call->flags & HTTP_PUBLIC_ONLY) ||
                   (call->redirects > 0 && !url_is_local(&call->first_url));
    if (!guarded || call->proxy || !redirect_address_is_local(ip))
        return false;
    err_set(&call->err, ERR_PROTOCOL, "%s %s: %s to the local address %s, refused", call->method,
            call->first_url.host, call->redirects > 0 ? "redirected" : "leads", ip);
    return true;
}
