/* SPDX-License-Identifier: Apache-2.0
 *
 * credentials_imds: the role of the EC2 instance that we run on, from its metadata service, version
 * 2 (a session token first; without one nothing is asked). Source: EC2 user guide, "Instance
 * metadata service".
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "aws/credentials_profile.h"
#include "aws/credentials_source.h"
#include "core/mem.h"
#include "net/http.h"
#include "net/url.h"

#define ROLES "/latest/meta-data/iam/security-credentials/"

static const char PROVIDER[] = "EC2 instance metadata";

enum {
    ANSWER_MAX = 64 * 1024,
    TIMEOUT_MS = 1000, /* of an attempt: it is on the next hop or not there */
    NAME_MAX_LEN = 64, /* of a role (IAM) */
    TOKEN_MAX = 1024,
};

enum step { STEP_TOKEN, STEP_ROLE, STEP_KEYS };

struct imds {
    struct credentials_source base;
    char *endpoint;         /* owned; without a '/' at its end */
    struct http_call *http; /* NULL: none */
    enum step step;
    char *token, *role; /* owned; of the fetch under way */
};

static void ask(struct imds *m);

static void end(struct imds *m, const struct aws_credentials *found, const struct err *err)
{
    free(m->token);
    free(m->role);
    m->token = m->role = NULL;
    credentials_source_end(&m->base, found, err);
}

/* The first line, if it is short and plain; it goes into a header or a URL. */
static char *word(const char *text, size_t max)
{
    size_t len = strcspn(text, "\r\n");
    bool fine = len > 0 && len <= max;
    for (size_t i = 0; fine && i < len; i++)
        fine = text[i] > ' ' && text[i] <= '~';
    return fine ? xstrndup(text, len) : NULL;
}

static void explain(const struct imds *m, struct err *err)
{
    if (m->step == STEP_TOKEN && err->code == ERR_TIMEOUT)
        err_prefix(err,
                   "EC2 instance metadata (in a container the instance's hop limit has to be 2)");
    else if (m->step == STEP_ROLE && err->http_status == 404)
        err_prefix(err, "the EC2 instance has no role");
    else
        err_prefix(err, "EC2 instance metadata");
    if (err->code == ERR_HTTP && !err_is_retryable(err))
        err->code = ERR_AUTH;
}

static int take(struct imds *m, const struct http_response *rsp, struct aws_credentials *found,
                struct err *err)
{
    if (m->step == STEP_KEYS)
        return credentials_from_json(found, PROVIDER, "its answer", 0, rsp->body, rsp->body_len,
                                     err);
    char **to = m->step == STEP_TOKEN ? &m->token : &m->role;
    *to = word(rsp->body, m->step == STEP_TOKEN ? TOKEN_MAX : NAME_MAX_LEN);
    if (!*to)
        return err_set(err, ERR_PROTOCOL, "%s is not what the service gives",
                       m->step == STEP_TOKEN ? "the session token" : "the role's name");
    return 0;
}

static void on_done(void *arg, const struct http_response *rsp, const struct err *net_err)
{
    struct imds *m = arg;
    struct aws_credentials found = {0};
    struct err err = {0};
    m->http = NULL;
    if (net_err)
        err = *net_err;
    if (net_err || take(m, rsp, &found, &err) < 0) {
        explain(m, &err);
        end(m, NULL, &err);
    } else if (m->step == STEP_KEYS) {
        end(m, &found, NULL);
    } else {
        m->step++;
        ask(m);
    }
}

static void ask(struct imds *m)
{
    bool first = m->step == STEP_TOKEN;
    struct buf url = BUF_INIT(4096);
    buf_printf(&url, "%s%s", m->endpoint, first ? "/latest/api/token" : ROLES);
    if (m->step == STEP_KEYS)
        url_encode(&url, m->role, strlen(m->role), false);
    const struct http_header header = {.name = first ? "X-aws-ec2-metadata-token-ttl-seconds"
                                                     : "X-aws-ec2-metadata-token",
                                       .value = first ? "21600" : m->token};
    const struct http_request rq = {
        .method = first ? "PUT" : "GET",
        .url = buf_str(&url),
        .headers = &header,
        .n_headers = 1,
        .has_body = first,
        .max_body = ANSWER_MAX,
        .flags = HTTP_NO_PROXY,
        .timeout_ms = TIMEOUT_MS,
    };
    const struct http_events events = {.on_done = on_done};
    m->http = http_start(m->base.loop, &rq, &events, m);
    buf_release(&url);
}

static void fetch(struct credentials_source *s)
{
    struct imds *m = (struct imds *)s;
    m->step = STEP_TOKEN;
    ask(m);
}

static void cancel(struct credentials_source *s)
{
    struct imds *m = (struct imds *)s;
    if (m->http)
        http_cancel(m->http);
}

static void free_source(struct credentials_source *s)
{
    struct imds *m = (struct imds *)s;
    free(m->endpoint);
    free(m);
}

static const struct credentials_source_ops ops = {fetch, cancel, free_source};

static const char *setting(const struct credentials_lookup *l, const char *variable,
                           const char *key)
{
    const char *value = credentials_variable(variable);
    return value ? value : profile_get(l->profile, NULL, key);
}

int credentials_imds(const struct credentials_lookup *l, struct credentials_source **out,
                     struct buf *tried, struct err *err)
{
    const char *disabled = credentials_variable("AWS_EC2_METADATA_DISABLED");
    if (disabled && strcasecmp(disabled, "true") == 0) {
        buf_str_append(tried, "not EC2 instance metadata, as AWS_EC2_METADATA_DISABLED is set");
        return 0;
    }
    const char *endpoint =
        setting(l, "AWS_EC2_METADATA_SERVICE_ENDPOINT", "ec2_metadata_service_endpoint");
    const char *mode =
        setting(l, "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "ec2_metadata_service_endpoint_mode");
    if (!endpoint)
        endpoint = mode && strcasecmp(mode, "ipv6") == 0 ? "http://[fd00:ec2::254]"
                                                         : "http://169.254.169.254";
    struct url url;
    struct err why = {0};
    bool fine = url_parse(endpoint, &url, &why) == 0;
    if (fine) {
        fine = !url.query;
        url_release(&url);
    }
    if (!fine)
        return err_set(err, ERR_CONFIG,
                       "AWS_EC2_METADATA_SERVICE_ENDPOINT (ec2_metadata_service_endpoint) is no "
                       "http(s) URL without a query");
    size_t len = strlen(endpoint);
    while (len && endpoint[len - 1] == '/')
        len--;
    struct imds *m = xcalloc(1, sizeof(*m));
    m->base = (struct credentials_source){
        .ops = &ops, .provider = PROVIDER, .loop = l->loop, .last_resort = true};
    m->endpoint = xstrndup(endpoint, len);
    *out = &m->base;
    return 1;
}
