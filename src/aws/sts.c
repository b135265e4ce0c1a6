/* SPDX-License-Identifier: Apache-2.0 */
#include "aws/sts.h"

#include <stdlib.h>
#include <string.h>

#include "aws/aws_service.h"
#include "aws/credentials_source.h"
#include "aws/xml.h"
#include "core/buf.h"
#include "core/clock.h"
#include "core/mem.h"
#include "net/http.h"
#include "net/url.h"

#define CONTENT_TYPE "application/x-www-form-urlencoded"

enum {
    ANSWER_MAX = 64 * 1024,
    BODY_MAX = 256 * 1024, /* a web identity token may be 64 KiB, each byte percent-encoded */
    TIMEOUT_MS = 20 * 1000,
};

struct sts {
    struct loop *loop;
    struct aws_service service; /* owned */
};

struct sts_call {
    struct sts *sts; /* borrowed */
    sts_done_fn *done;
    void *arg;
    const char *provider;
    char *role_arn; /* owned, for messages */
    const struct aws_credentials *who;
    struct buf body; /* has the token */
    struct http_call *http;
};

/* ---- where ---- */

/* The regions that the global endpoint served before each had its own (AWS SDK reference,
 * "AWS STS Regional endpoints"). */
static bool is_legacy_region(const char *region)
{
    static const char *const names[] = {
        "ap-northeast-1", "ap-south-1",   "ap-southeast-1", "ap-southeast-2",
        "aws-global",     "ca-central-1", "eu-central-1",   "eu-north-1",
        "eu-west-1",      "eu-west-2",    "eu-west-3",      "sa-east-1",
        "us-east-1",      "us-east-2",    "us-west-1",      "us-west-2",
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(region, names[i]) == 0)
            return true;
    return false;
}

struct sts *sts_new(struct loop *loop, const char *region, const char *endpoint_url, bool legacy,
                    struct err *err)
{
    bool global =
        !region || strcmp(region, "aws-global") == 0 || (legacy && is_legacy_region(region));
    char *url = endpoint_url ? xstrdup(endpoint_url)
                : global     ? xstrdup("https://sts.amazonaws.com")
                             : aws_service_url("sts", region);
    struct sts *sts = xcalloc(1, sizeof(*sts));
    sts->loop = loop;
    int rc = aws_service_init(&sts->service, "sts",
                              "the endpoint of STS (AWS_ENDPOINT_URL_STS, endpoint_url)", url,
                              region && (endpoint_url || !global) ? region : "us-east-1", err);
    free(url);
    if (rc == 0)
        return sts;
    free(sts);
    return NULL;
}

void sts_free(struct sts *sts)
{
    if (!sts)
        return;
    aws_service_release(&sts->service);
    free(sts);
}

const char *sts_endpoint(const struct sts *sts)
{
    return sts->service.url;
}

/* ---- what comes back ---- */

struct answer {
    char code[65];
    char *id, *secret, *token, *expiration; /* owned */
};

static bool ends_with(const char *path, const char *end)
{
    size_t len = strlen(path), end_len = strlen(end);
    return len >= end_len && strcmp(path + len - end_len, end) == 0 &&
           (len == end_len || path[len - end_len - 1] == '/');
}

static void each(void *arg, const char *path, const char *text)
{
    struct answer *a = arg;
    char **to = ends_with(path, "Credentials/AccessKeyId")       ? &a->id
                : ends_with(path, "Credentials/SecretAccessKey") ? &a->secret
                : ends_with(path, "Credentials/SessionToken")    ? &a->token
                : ends_with(path, "Credentials/Expiration")      ? &a->expiration
                                                                 : NULL;
    if (to) {
        free(*to);
        *to = xstrdup(text);
    } else if (ends_with(path, "Error/Code") && strlen(text) < sizeof(a->code) &&
               strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._") ==
                   strlen(text)) {
        snprintf(a->code, sizeof(a->code), "%s", text);
    }
}

static void release_answer(struct answer *a)
{
    struct aws_credentials all = {a->id, a->secret, a->token, 0, NULL};
    aws_credentials_release(&all);
    free(a->expiration);
}

/* Of a refusal only the code is told: its message may quote what was signed, tokens included. */
static void refused(const struct sts_call *call, const char *code, int status, struct err *err)
{
    const char *from = call->who ? call->who->provider : "web identity";
    const char *arn = call->role_arn, *url = call->sts->service.url;
    if (strcmp(code, "AccessDenied") == 0)
        err_set(err, ERR_AUTH,
                "%s: %.200s may not be assumed with the credentials from %s (AccessDenied): allow "
                "it in the role's trust policy",
                url, arn, from);
    else if (strcmp(code, "ExpiredTokenException") == 0 || strcmp(code, "ExpiredToken") == 0)
        err_set(err, ERR_AUTH, "%s: to assume %.200s, %s has expired (%s): get a new one", url, arn,
                call->who ? "the session token that goes with it" : "the token", code);
    else if (strcmp(code, "SignatureDoesNotMatch") == 0 || strcmp(code, "RequestExpired") == 0)
        err_set(err, ERR_AUTH,
                "%s: to assume %.200s, the signature is refused (%s): check the secret access key "
                "from %s and this machine's clock",
                url, arn, code, from);
    else
        err_set(
            err, ERR_AUTH,
            "%s does not let the credentials from %s assume %.200s (%s): check the role, who may "
            "assume it, and what is set for it",
            url, from, arn, *code ? code : "no reason given");
    err->http_status = status;
}

/* Codes that come with a 400 and yet mean "later" (STS API reference, "Common errors"). */
static bool is_passing(const char *code, int status)
{
    return status >= 500 || status == 408 || status == 429 || strcmp(code, "Throttling") == 0 ||
           strcmp(code, "ThrottlingException") == 0 || strcmp(code, "IDPCommunicationError") == 0 ||
           strcmp(code, "RequestLimitExceeded") == 0;
}

static int read_credentials(const struct sts_call *call, const struct answer *a,
                            struct aws_credentials *out, struct err *err)
{
    const struct credentials_found found = {
        .provider = call->provider,
        .where = "the answer of STS",
        .id_name = "AccessKeyId",
        .id = a->id,
        .secret_name = "SecretAccessKey",
        .secret = a->secret,
        .token_name = "SessionToken",
        .token = a->token,
    };
    int64_t expires_ms = 0;
    if (a->expiration && date_parse_iso8601(a->expiration, &expires_ms) < 0)
        return err_set(err, ERR_PROTOCOL, "%s: the Expiration is no ISO 8601 date",
                       call->sts->service.url);
    int filled = credentials_fill(out, &found, err);
    if (filled < 0) {
        err->code = ERR_PROTOCOL;
        return -1;
    }
    if (filled == 0)
        return err_set(err, ERR_PROTOCOL,
                       "%s: there are no credentials in the answer: is it an STS endpoint?",
                       call->sts->service.url);
    out->expires_ms = expires_ms;
    return 0;
}

static int judge(const struct sts_call *call, const struct http_response *rsp,
                 const struct err *net_err, struct aws_credentials *out, struct err *err)
{
    struct answer a = {0};
    struct err malformed = {0};
    bool read = rsp && xml_read(rsp->body, rsp->body_len, each, &a, &malformed) == 0;
    int rc = -1;
    if (net_err && (net_err->code != ERR_HTTP || is_passing(a.code, net_err->http_status))) {
        *err = *net_err;
        if (*a.code)
            err_prefix(err, "%s", a.code);
        if (err->code == ERR_HTTP && err->http_status < 500)
            err->http_status = 503; /* what net and the commands take for "later" */
    } else if (net_err && read) {
        refused(call, a.code, net_err->http_status, err);
    } else if (net_err) {
        err_set(err, ERR_AUTH, "%s answered %d, and not as STS does: check the endpoint",
                call->sts->service.url, net_err->http_status);
        err->http_status = net_err->http_status;
    } else if (!read) {
        err_set(err, ERR_PROTOCOL, "%s: the answer is not what STS gives (%s): check the endpoint",
                call->sts->service.url, malformed.msg);
    } else {
        rc = read_credentials(call, &a, out, err);
    }
    release_answer(&a);
    return rc;
}

/* ---- the call ---- */

static int prepare(void *arg, struct http_call *http, struct err *err)
{
    (void)err;
    struct sts_call *call = arg;
    if (!call->who)
        return 0;
    static const struct sigv4_header headers[] = {{"content-type", CONTENT_TYPE}};
    aws_service_sign(&call->sts->service, http, headers, 1, call->body.data, call->body.len,
                     call->who);
    return 0;
}

static void on_done(void *arg, const struct http_response *rsp, const struct err *net_err)
{
    struct sts_call *call = arg;
    struct aws_credentials found = {0};
    struct err err = {0};
    int rc = judge(call, rsp, net_err, &found, &err);
    sts_done_fn *done = call->done;
    void *done_arg = call->arg;
    credentials_wipe(&call->body);
    free(call->role_arn);
    free(call);
    done(done_arg, rc == 0 ? &found : NULL, rc == 0 ? NULL : &err);
}

static void parameter(struct buf *body, const char *name, const char *value)
{
    buf_printf(body, "&%s=", name);
    url_encode(body, value, strlen(value), false);
}

struct sts_call *sts_assume(struct sts *sts, const struct sts_request *rq, sts_done_fn *done,
                            void *arg)
{
    struct sts_call *call = xcalloc(1, sizeof(*call));
    call->sts = sts;
    call->done = done;
    call->arg = arg;
    call->provider = rq->provider;
    call->role_arn = xstrdup(rq->role_arn);
    call->who = rq->web_identity_token ? NULL : rq->who;
    call->body = BUF_INIT(BODY_MAX);
    buf_printf(&call->body, "Action=%s&Version=2011-06-15",
               call->who ? "AssumeRole" : "AssumeRoleWithWebIdentity");
    parameter(&call->body, "RoleArn", rq->role_arn);
    parameter(&call->body, "RoleSessionName", rq->session_name);
    if (rq->external_id)
        parameter(&call->body, "ExternalId", rq->external_id);
    if (rq->duration_s)
        buf_printf(&call->body, "&DurationSeconds=%d", rq->duration_s);
    if (rq->web_identity_token)
        parameter(&call->body, "WebIdentityToken", rq->web_identity_token);
    const struct http_header header = {.name = "Content-Type", .value = CONTENT_TYPE};
    const struct http_request request = {
        .method = "POST",
        .url = sts->service.url,
        .headers = &header,
        .n_headers = 1,
        .body = call->body.data,
        .body_len = call->body.len,
        .max_body = ANSWER_MAX,
        .timeout_ms = TIMEOUT_MS,
    };
    const struct http_events events = {.prepare = prepare, .on_done = on_done};
    call->http = http_start(sts->loop, &request, &events, call);
    return call;
}

void sts_cancel(struct sts_call *call)
{
    http_cancel(call->http);
}
