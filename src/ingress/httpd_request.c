/* SPDX-License-Identifier: Apache-2.0
 *
 * httpd_request: see httpd_request.h.
 */
#include "ingress/httpd_request.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/text.h"

enum {
    REFUSAL_MAX = 1024, /* bytes of its JSON */
    /* The body of a refused request is read to its end up to here, because a client that is still
     * sending when its connection is closed does not get to see the answer (RFC 9112, 9.6). */
    THROWN_AWAY_MAX = 1024 * 1024,
};

void httpd_name_peer(const struct sockaddr *address, char out[INET6_ADDRSTRLEN])
{
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;
    const void *bytes = NULL;
    int family = address->sa_family;
    if (family == AF_INET) {
        bytes = &((const struct sockaddr_in *)address)->sin_addr;
    } else if (family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
        family = AF_INET;
        bytes = v6->sin6_addr.s6_addr + 12;
    } else if (family == AF_INET6) {
        bytes = &v6->sin6_addr;
    }
    if (!bytes || !inet_ntop(family, bytes, out, INET6_ADDRSTRLEN))
        snprintf(out, INET6_ADDRSTRLEN, "unix");
}

/* ---- what is wrong with it --------------------------------------------------------------------
 */

void httpd_refuse(struct httpd_request *rq, int status, const char *error, const char *message)
{
    if (rq->refusal.status == 0)
        rq->refusal = (struct httpd_refusal){status, error, message, 0};
}

struct head {
    unsigned lengths, encodings, hosts;
    const char *length, *encoding;
    bool bad_name;
};

/* RFC 9110, 5.6.2: a token. A space before the colon is how requests are smuggled past a proxy. */
static bool is_token(const char *name)
{
    static const char other[] = "!#$%&'*+-.^_`|~";
    for (const char *p = name; *p; p++) {
        bool letter = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z');
        if (!letter && !(*p >= '0' && *p <= '9') && !strchr(other, *p))
            return false;
    }
    return *name != '\0';
}

static enum MHD_Result look_at_header(void *arg, enum MHD_ValueKind kind, const char *name,
                                      const char *value)
{
    struct head *head = arg;
    (void)kind;
    if (!is_token(name))
        head->bad_name = true;
    if (strcasecmp(name, MHD_HTTP_HEADER_CONTENT_LENGTH) == 0) {
        head->lengths++;
        head->length = value ? value : "";
    } else if (strcasecmp(name, MHD_HTTP_HEADER_TRANSFER_ENCODING) == 0) {
        head->encodings++;
        head->encoding = value ? value : "";
    } else if (strcasecmp(name, MHD_HTTP_HEADER_HOST) == 0) {
        head->hosts++;
    }
    return MHD_YES;
}

static void look_at_length(struct httpd_request *rq, const char *length)
{
    int64_t bytes;
    if (text_parse_int(length, 0, INT64_MAX, &bytes) < 0) {
        httpd_refuse(rq, 400, "input", "Content-Length is not a number of bytes");
        rq->at_once = true;
    } else if ((uint64_t)bytes > rq->body.cap) {
        httpd_refuse(rq, 413, "too_large", "the body is too long");
        const char *expect =
            MHD_lookup_connection_value(rq->connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_EXPECT);
        rq->at_once = expect || bytes > THROWN_AWAY_MAX;
    }
}

void httpd_look_at_head(struct httpd_request *rq, const char *version)
{
    struct head head = {0};
    (void)MHD_get_connection_values(rq->connection, MHD_HEADER_KIND, look_at_header, &head);
    if (head.bad_name)
        httpd_refuse(rq, 400, "input", "a header's name is not a name");
    else if (head.lengths > 1)
        httpd_refuse(rq, 400, "input", "Content-Length stands there more than once");
    else if (head.encodings > 0 && head.lengths > 0)
        httpd_refuse(rq, 400, "input", "both Content-Length and Transfer-Encoding");
    else if (head.encodings > 1 || (head.encoding && strcasecmp(head.encoding, "chunked") != 0))
        httpd_refuse(rq, 400, "input", "Transfer-Encoding: expected chunked, or none");
    else if (strcmp(version, MHD_HTTP_VERSION_1_1) == 0 && head.hosts != 1)
        httpd_refuse(rq, 400, "input", "expected one Host header");
    /* Where its end is cannot be known: nothing behind it is read. */
    rq->at_once = rq->refusal.status != 0;
    if (!rq->at_once && head.length)
        look_at_length(rq, head.length);
}

bool httpd_take_body(struct httpd_request *rq, const char *data, size_t len)
{
    static const char too_long[] =
        "HTTP/1.1 413 Content Too Large\r\n"
        "Connection: close\r\n"
        "Content-Type: application/json\r\n"
        "Content-Length: 74\r\n\r\n"
        "{\"status\":\"rejected\",\"error\":\"too_large\",\"message\":\"the body is too long\"}";
    if (!rq->refusal.status && buf_append(&rq->body, data, len) == 0)
        return true;
    httpd_refuse(rq, 413, "too_large", "the body is too long");
    buf_clear(&rq->body);
    rq->thrown_away += len;
    if (rq->thrown_away <= THROWN_AWAY_MAX)
        return true;
    /* libmicrohttpd takes no answer in the middle of a body. */
    (void)send(rq->watched.fd, too_long, sizeof(too_long) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    return false;
}

/* ---- its answer -------------------------------------------------------------------------------
 */

void httpd_build_response(struct httpd_request *rq, const struct httpd_answer *answer)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(
        answer->len, (void *)(uintptr_t)answer->body,
        answer->len ? MHD_RESPMEM_MUST_COPY : MHD_RESPMEM_PERSISTENT);
    CHECK(response);
    const char *type = answer->content_type ? answer->content_type : "application/json";
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    for (const char *const *pair = answer->headers; pair && pair[0]; pair += 2)
        (void)MHD_add_response_header(response, pair[0], pair[1]);
    rq->status = (unsigned)answer->status;
    rq->response = response;
}

void httpd_build_refusal(struct httpd_request *rq)
{
    const struct httpd_refusal *refusal = &rq->refusal;
    struct buf body = BUF_INIT(REFUSAL_MAX);
    char seconds[32];
    buf_printf(&body, "{\"status\":\"%s\",\"error\":\"%s\",\"message\":\"%s\"}",
               refusal->status == 503 ? "not accepted" : "rejected", refusal->error,
               refusal->message);
    snprintf(seconds, sizeof(seconds), "%lld", (long long)refusal->retry_after_s);
    const char *headers[] = {refusal->retry_after_s ? "Retry-After" : NULL, seconds, NULL};
    httpd_build_response(rq, &(struct httpd_answer){.status = refusal->status,
                                                    .body = buf_str(&body),
                                                    .len = body.len,
                                                    .headers = headers});
    buf_release(&body);
}

/* ---- what the other side asks for -------------------------------------------------------------
 */

const char *httpd_method(const struct httpd_request *rq)
{
    return rq->method;
}

const char *httpd_path(const struct httpd_request *rq)
{
    return rq->path;
}

const char *httpd_header(const struct httpd_request *rq, const char *name)
{
    return MHD_lookup_connection_value(rq->connection, MHD_HEADER_KIND, name);
}

const char *httpd_query(const struct httpd_request *rq, const char *name)
{
    return MHD_lookup_connection_value(rq->connection, MHD_GET_ARGUMENT_KIND, name);
}

const char *httpd_body(const struct httpd_request *rq, size_t *len)
{
    *len = rq->body.len;
    return buf_str(&rq->body);
}

const char *httpd_peer(const struct httpd_request *rq)
{
    return rq->peer;
}
