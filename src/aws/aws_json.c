/* SPDX-License-Identifier: Apache-2.0 */
#include "aws/aws_json.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "aws/credentials_source.h"
#include "core/mem.h"
#include "core/text.h"

enum {
    TIMEOUT_MS = 20 * 1000,
    RENEWALS_MAX = 3,
};

struct aws_json_call {
    struct aws_json *client; /* borrowed */
    aws_json_done_fn *done;
    void *arg;
    const char *operation;
    struct buf body;
    char *target; /* owned */
    size_t answer_max;
    int64_t wait_ms;
    bool once;
    struct http_call *http;       /* NULL between exchanges */
    struct credentials_wait wait; /* for credentials, before the exchange */
    int renewals;                 /* exchanges begun again, as credentials had run out */
    bool run_out;                 /* this one's had */
    bool cancelled;
    struct loop_task task; /* ends what was cancelled between exchanges */
};

/* ---- errors ---- */

/* Codes that mean the same wherever they come from; "also" codes are without their service's
 * prefix. (AWS general reference, "Common errors"; SQS API reference, each action's errors) */
enum kind { KIND_OTHER, KIND_ACCESS, KIND_KEY_ID, KIND_SECRET, KIND_TOKEN, KIND_BUSY };
static const struct {
    const char *code;
    enum kind kind;
} kinds[] = {
    {"AccessDenied", KIND_ACCESS},
    {"AccessDeniedException", KIND_ACCESS},
    {"NotAuthorized", KIND_ACCESS},
    {"OptInRequired", KIND_ACCESS},
    {"AuthFailure", KIND_SECRET},
    {"InvalidSecurity", KIND_SECRET},
    {"UnrecognizedClientException", KIND_KEY_ID},
    {"InvalidClientTokenId", KIND_KEY_ID},
    {"InvalidAccessKeyId", KIND_KEY_ID},
    {"SignatureDoesNotMatch", KIND_SECRET},
    {"InvalidSignatureException", KIND_SECRET},
    {"IncompleteSignature", KIND_SECRET},
    {"IncompleteSignatureException", KIND_SECRET},
    {"MissingAuthenticationToken", KIND_SECRET},
    {"MissingAuthenticationTokenException", KIND_SECRET},
    {"RequestExpired", KIND_SECRET},
    {"RequestTimeTooSkewed", KIND_SECRET},
    {"ExpiredToken", KIND_TOKEN},
    {"ExpiredTokenException", KIND_TOKEN},
    {"Throttling", KIND_BUSY},
    {"ThrottlingException", KIND_BUSY},
    {"ThrottledException", KIND_BUSY},
    {"RequestThrottled", KIND_BUSY},
    {"RequestThrottledException", KIND_BUSY},
    {"RequestLimitExceeded", KIND_BUSY},
    {"TooManyRequestsException", KIND_BUSY},
    {"OverLimit", KIND_BUSY},
    {"KmsThrottled", KIND_BUSY},
    {"InternalError", KIND_BUSY},
    {"InternalFailure", KIND_BUSY},
    {"InternalServiceError", KIND_BUSY},
    {"InternalServerError", KIND_BUSY},
    {"InternalServerException", KIND_BUSY},
    {"ServiceUnavailable", KIND_BUSY},
};

static enum kind kind_of_code(const char *code)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (strcmp(code, kinds[i].code) == 0)
            return kinds[i].kind;
    return KIND_OTHER;
}

static bool is_passing(int status)
{
    return status >= 500 || status == 408 || status == 425 || status == 429;
}

static enum kind kind_of(const struct aws_json_error *e, int status)
{
    enum kind kind = kind_of_code(e->code);
    if (kind == KIND_OTHER)
        kind = kind_of_code(e->also);
    return kind == KIND_OTHER && is_passing(status) ? KIND_BUSY : kind;
}

/* "com.amazonaws.sqs#QueueDoesNotExist" and "Code:http://..." -> the code alone; what is none (one
 * with other characters, or too long) is left out. */
static void take_code(const char *text, const char *prefix, char out[80])
{
    const char *hash = strrchr(text, '#');
    if (hash)
        text = hash + 1;
    if (strncmp(text, prefix, strlen(prefix)) == 0)
        text += strlen(prefix);
    size_t len = strcspn(text, ":;");
    if (len < 80 &&
        strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._") >= len)
        snprintf(out, 80, "%.*s", (int)len, text);
}

void aws_json_set_error(struct aws_json_error *out, const char *type, const char *message,
                        const char *query_error)
{
    *out = (struct aws_json_error){0};
    if (type)
        take_code(type, "", out->code);
    if (message) {
        snprintf(out->message, sizeof(out->message), "%s", message);
        text_make_printable(out->message);
    }
    if (query_error)
        take_code(query_error, "AWS.SimpleQueueService.", out->also);
}

void aws_json_read_error(const char *body, size_t len, const char *query_error,
                         struct aws_json_error *out)
{
    json_t *root = json_loadb(body, len, 0, NULL);
    const char *type = json_string_value(json_object_get(root, "__type"));
    const char *message = json_string_value(json_object_get(root, "message"));
    if (!type)
        type = json_string_value(json_object_get(root, "code"));
    if (!message)
        message = json_string_value(json_object_get(root, "Message"));
    aws_json_set_error(out, type, message, query_error);
    json_decref(root);
}

/* The action that a policy has to allow: batches have none of their own. */
static int action_len(const char *operation)
{
    size_t len = strlen(operation);
    return (int)(len > 5 && strcmp(operation + len - 5, "Batch") == 0 ? len - 5 : len);
}

static void set_auth(const struct aws_json *c, const char *operation, enum kind kind,
                     const char *why, struct err *err)
{
    const char *provider = credentials_provider(c->credentials);
    if (kind == KIND_KEY_ID)
        err_set(err, ERR_AUTH,
                "%s does not know the access key from %s (%s): check the key, the profile and the "
                "region %s",
                c->service.url, provider, why, c->service.region);
    else if (kind == KIND_SECRET)
        err_set(err, ERR_AUTH,
                "%s refuses the signature (%s): check the secret access key from %s, the region %s "
                "and this machine's clock",
                c->service.url, why, provider, c->service.region);
    else if (kind == KIND_TOKEN)
        err_set(err, ERR_AUTH,
                "%s: the session token from %s has expired (%s): get new credentials",
                c->service.url, provider, why);
    else
        err_set(err, ERR_AUTH,
                "%s: %s is refused (%s): allow %s:%.*s to the credentials from %s, or use others",
                c->what, operation, why, c->service.name, action_len(operation), operation,
                provider);
}

static const struct aws_json_refusal *find_refusal(const struct aws_json *c,
                                                   const struct aws_json_error *e)
{
    for (const struct aws_json_refusal *r = c->refusals; r->code; r++)
        if (strcmp(r->code, e->code) == 0 || strcmp(r->code, e->also) == 0)
            return r;
    return NULL;
}

void aws_json_refused(const struct aws_json *c, const char *operation,
                      const struct aws_json_error *e, int status, struct err *err)
{
    char why[sizeof(e->code) + sizeof(e->message) + 8];
    const char *code = *e->code ? e->code : e->also;
    snprintf(why, sizeof(why), "%s%s%s", code, *e->message ? ": " : "", e->message);
    const struct aws_json_refusal *r = find_refusal(c, e);
    enum kind kind = kind_of(e, status);
    if (r) {
        err_set(err, r->as, "%s: %s: %s (%s)", c->what, operation, r->advice, why);
    } else if (kind == KIND_BUSY) {
        err_set(err, ERR_HTTP, "%s: %s: %s is busy or has a fault (%s)", c->what, operation,
                c->service.url, *code ? why : "no reason given");
        if (!is_passing(status))
            status = 503;
    } else if (kind != KIND_OTHER) {
        set_auth(c, operation, kind, why, err);
    } else if (*code) {
        err_set(err, ERR_HTTP, "%s: %s: %s", c->what, operation, why);
        if (status < 400)
            status = 400;
    } else {
        err_set(err, ERR_DESTINATION, "%s answered %d, and not as %s does: check the endpoint",
                c->service.url, status, c->title);
    }
    err->http_status = status;
}

/* ---- sending ---- */

static void read_error(const struct http_response *rsp, struct aws_json_error *out)
{
    aws_json_read_error(rsp->body, rsp->body_len, http_response_header(rsp, "x-amzn-query-error"),
                        out);
}

/* "Slow down" comes as a 400 or a 403. */
static int read_status(void *arg, const struct http_response *rsp)
{
    (void)arg;
    struct aws_json_error e;
    if (is_passing(rsp->status))
        return rsp->status;
    read_error(rsp, &e);
    return kind_of(&e, rsp->status) == KIND_BUSY ? 503 : rsp->status;
}

/* At the moment of sending: a signature is good for 15 minutes, and credentials may have changed.
 */
static int prepare(void *arg, struct http_call *http, struct err *err)
{
    struct aws_json_call *call = arg;
    const struct aws_json *c = call->client;
    const struct aws_credentials *who = credentials_current(c->credentials);
    if (!who) { /* before a retry */
        call->run_out = true;
        return err_set(err, ERR_AUTH, "%s: the credentials from %s run out at once",
                       call->operation, credentials_provider(c->credentials));
    }
    const struct sigv4_header headers[] = {{"content-type", c->content_type},
                                           {"x-amz-target", call->target}};
    aws_service_sign(&c->service, http, headers, 2, call->body.data, call->body.len, who);
    return 0;
}

static void end(struct aws_json_call *call, const char *body, size_t len, const struct err *err)
{
    call->done(call->arg, body, len, err);
    credentials_wipe(&call->body);
    free(call->target);
    free(call);
}

static void end_cancelled(void *arg)
{
    struct aws_json_call *call = arg;
    struct err err = {0};
    err_set(&err, ERR_CANCELLED, "%s was cancelled", call->operation);
    end(call, NULL, 0, &err);
}

static void begin(struct aws_json_call *call);

static void on_done(void *arg, const struct http_response *rsp, const struct err *net_err)
{
    struct aws_json_call *call = arg;
    call->http = NULL;
    if (call->run_out && !call->cancelled && call->renewals++ < RENEWALS_MAX) {
        begin(call);
        return;
    }
    if (!net_err) {
        end(call, rsp->body, rsp->body_len, NULL);
    } else if (call->cancelled) {
        end_cancelled(call);
    } else if (net_err->code == ERR_HTTP && rsp) {
        struct aws_json_error e;
        struct err err = {0};
        read_error(rsp, &e);
        aws_json_refused(call->client, call->operation, &e, net_err->http_status, &err);
        err.retry_after_ms = net_err->retry_after_ms;
        end(call, NULL, 0, &err);
    } else {
        end(call, NULL, 0, net_err);
    }
}

static void send_request(struct aws_json_call *call)
{
    const struct aws_json *c = call->client;
    const struct http_header headers[] = {{.name = "Content-Type", .value = c->content_type},
                                          {.name = "X-Amz-Target", .value = call->target}};
    const struct http_request rq = {
        .method = "POST",
        .url = c->service.url,
        .headers = headers,
        .n_headers = 2,
        .body = call->body.data,
        .body_len = call->body.len,
        .max_body = call->answer_max,
        .flags = call->once ? HTTP_NO_RETRY : 0,
        .timeout_ms = TIMEOUT_MS + call->wait_ms,
        .stall_timeout_ms = call->wait_ms ? TIMEOUT_MS + call->wait_ms : 0,
    };
    const struct http_events events = {
        .prepare = prepare, .read_status = read_status, .on_done = on_done};
    call->http = http_start(c->loop, &rq, &events, call);
}

static void on_credentials(void *arg, const struct err *err)
{
    struct aws_json_call *call = arg;
    if (err)
        end(call, NULL, 0, err);
    else
        send_request(call);
}

/* Sends, once there are credentials to sign with. */
static void begin(struct aws_json_call *call)
{
    struct credentials *credentials = call->client->credentials;
    call->run_out = false;
    if (credentials_current(credentials))
        send_request(call);
    else
        credentials_get(credentials, &call->wait, on_credentials, call);
}

struct aws_json_call *aws_json_start(struct aws_json *client, const struct aws_json_request *rq,
                                     aws_json_done_fn *done, void *arg)
{
    CHECK(!buf_overflowed(rq->body));
    struct aws_json_call *call = xcalloc(1, sizeof(*call));
    call->client = client;
    call->done = done;
    call->arg = arg;
    call->operation = rq->operation;
    call->body = *rq->body;
    *rq->body = BUF_INIT(0);
    call->target = xprintf("%s.%s", client->target, rq->operation);
    call->answer_max = rq->answer_max;
    call->wait_ms = rq->wait_ms;
    call->once = rq->once;
    begin(call);
    return call;
}

void aws_json_cancel(struct aws_json_call *call)
{
    if (call->cancelled)
        return;
    call->cancelled = true;
    if (call->http) {
        http_cancel(call->http);
    } else if (call->wait.waiting) {
        credentials_forget(call->client->credentials, &call->wait);
        loop_post(call->client->loop, &call->task, end_cancelled, call);
    }
}
