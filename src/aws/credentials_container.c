/* SPDX-License-Identifier: Apache-2.0
 *
 * credentials_container: the endpoint that a container platform (ECS, EKS Pod Identity) gives its
 * containers. Source: AWS SDKs reference, "Container credential provider".
 */
#include <stdlib.h>
#include <string.h>

#include "aws/credentials_source.h"
#include "core/mem.h"
#include "net/http.h"
#include "net/url.h"

#define RELATIVE_URI "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"
#define FULL_URI     "AWS_CONTAINER_CREDENTIALS_FULL_URI"
#define TOKEN        "AWS_CONTAINER_AUTHORIZATION_TOKEN"
#define TOKEN_FILE   "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"

static const char PROVIDER[] = "container credentials";

enum { ANSWER_MAX = 64 * 1024, TIMEOUT_MS = 2000 };

struct container {
    struct credentials_source base;
    char *url;              /* owned */
    struct http_call *http; /* NULL: none */
};

/* The token is a secret for whoever answers there, so over http only what is on this machine. */
static bool is_allowed_host(const struct url *url)
{
    static const char *const hosts[] = {"169.254.170.2", "169.254.170.23", "[fd00:ec2::23]",
                                        "localhost", "[::1]"};
    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++)
        if (strcmp(url->host, hosts[i]) == 0)
            return true;
    return strncmp(url->host, "127.", 4) == 0 && url_is_local(url);
}

char *credentials_container_url(struct err *err)
{
    const char *relative = credentials_variable(RELATIVE_URI);
    const char *full = credentials_variable(FULL_URI);
    if (!relative && !full)
        return NULL;
    char *text = relative ? xprintf("http://169.254.170.2%s", relative) : xstrdup(full);
    struct url url;
    struct err why = {0};
    if (relative && *relative != '/') {
        err_set(err, ERR_CONFIG, RELATIVE_URI " does not begin with '/'");
    } else if (url_parse(text, &url, &why) < 0) {
        err_set(err, ERR_CONFIG, "%s is no http(s) URL", relative ? RELATIVE_URI : FULL_URI);
    } else {
        if (strcmp(url.scheme, "https") != 0 && !is_allowed_host(&url))
            err_set(err, ERR_CONFIG,
                    FULL_URI " names %s, which is not allowed over http: expected https, a "
                             "loopback address, 169.254.170.2 or 169.254.170.23",
                    url.host);
        url_release(&url);
    }
    if (err->code == ERR_NONE)
        return text;
    free(text);
    return NULL;
}

/* Before each attempt: whoever wrote the file replaces what is in it. */
static int add_token(void *arg, struct http_call *http, struct err *err)
{
    (void)arg;
    const char *path = credentials_variable(TOKEN_FILE);
    const char *token = credentials_variable(TOKEN);
    struct buf read = BUF_INIT(0);
    if (path && credentials_read_file(TOKEN_FILE, path, &read, err) < 0)
        return -1;
    if (path)
        token = buf_str(&read);
    for (const char *c = token; c && *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            return err_set(err, ERR_CONFIG, TOKEN " has a control character in it");
    if (token && *token)
        http_add_header(http, "Authorization", token);
    credentials_wipe(&read);
    return 0;
}

static void on_done(void *arg, const struct http_response *rsp, const struct err *net_err)
{
    struct container *c = arg;
    struct aws_credentials found;
    struct err err = {0};
    c->http = NULL;
    int rc = -1;
    if (net_err)
        err = *net_err;
    else
        rc = credentials_from_json(&found, PROVIDER, "its answer", 0, rsp->body, rsp->body_len,
                                   &err);
    if (rc < 0)
        err_prefix(&err, "the container's credentials");
    if (err.code == ERR_HTTP && !err_is_retryable(&err))
        err.code = ERR_AUTH;
    credentials_source_end(&c->base, rc == 0 ? &found : NULL, rc == 0 ? NULL : &err);
}

static void fetch(struct credentials_source *s)
{
    struct container *c = (struct container *)s;
    const struct http_header header = {.name = "Accept", .value = "application/json"};
    const struct http_request rq = {
        .method = "GET",
        .url = c->url,
        .headers = &header,
        .n_headers = 1,
        .max_body = ANSWER_MAX,
        .flags = HTTP_NO_PROXY,
        .timeout_ms = TIMEOUT_MS,
    };
    const struct http_events events = {.prepare = add_token, .on_done = on_done};
    c->http = http_start(s->loop, &rq, &events, c);
}

static void cancel(struct credentials_source *s)
{
    struct container *c = (struct container *)s;
    if (c->http)
        http_cancel(c->http);
}

static void free_source(struct credentials_source *s)
{
    struct container *c = (struct container *)s;
    free(c->url);
    free(c);
}

static const struct credentials_source_ops ops = {fetch, cancel, free_source};

int credentials_container(const struct credentials_lookup *l, struct credentials_source **out,
                          struct buf *tried, struct err *err)
{
    char *url = credentials_container_url(err);
    if (!url && err->code != ERR_NONE)
        return -1;
    if (!url) {
        buf_str_append(tried, RELATIVE_URI);
        return 0;
    }
    struct container *c = xcalloc(1, sizeof(*c));
    c->base = (struct credentials_source){.ops = &ops, .provider = PROVIDER, .loop = l->loop};
    c->url = url;
    *out = &c->base;
    return 1;
}
