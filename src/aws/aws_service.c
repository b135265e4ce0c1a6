/* SPDX-License-Identifier: Apache-2.0 */
#include "aws/aws_service.h"

#include <stdlib.h>
#include <string.h>

#include "core/buf.h"
#include "core/clock.h"
#include "core/mem.h"
#include "net/url.h"

bool aws_is_region(const char *s)
{
    size_t len = strlen(s);
    return len >= 1 && len <= 63 &&
           strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == len;
}

char *aws_service_url(const char *prefix, const char *region)
{
    return xprintf("https://%s.%s.amazonaws.com%s", prefix, region,
                   strncmp(region, "cn-", 3) == 0 ? ".cn" : "");
}

int aws_service_init(struct aws_service *s, const char *name, const char *label, const char *url,
                     const char *region, struct err *err)
{
    struct url parsed;
    if (!aws_is_region(region))
        return err_set(err, ERR_USAGE, "\"%.80s\" is no region: expected one like eu-west-1",
                       region);
    if (url_parse(url, &parsed, err) < 0) {
        err_prefix(err, "%s", label);
        err->code = ERR_USAGE;
        return -1;
    }
    int rc = 0;
    if (parsed.query) {
        rc = err_set(err, ERR_USAGE, "%s, %s://%s, has a query: leave it out", label, parsed.scheme,
                     parsed.host);
    } else {
        struct buf host = BUF_INIT(512);
        url_host_header(&parsed, &host);
        *s = (struct aws_service){.name = name};
        s->url = xprintf("%s://%s%s", parsed.scheme, buf_str(&host), parsed.path);
        s->host = buf_take(&host);
        s->path = xstrdup(parsed.path);
        s->region = xstrdup(region);
    }
    url_release(&parsed);
    return rc;
}

void aws_service_release(struct aws_service *s)
{
    free(s->url);
    free(s->host);
    free(s->path);
    free(s->region);
    *s = (struct aws_service){0};
}

void aws_service_sign(const struct aws_service *s, struct http_call *http,
                      const struct sigv4_header *headers, size_t n_headers, const void *body,
                      size_t body_len, const struct aws_credentials *who)
{
    char hash[SIGV4_HASH_TEXT_SIZE];
    sigv4_hash(body, body_len, hash);
    const struct sigv4_request rq = {
        .method = "POST",
        .path = s->path,
        .headers = headers,
        .n_headers = n_headers,
        .host = s->host,
        .payload_hash = hash,
        .normalize_path = true,
        .region = s->region,
        .service = s->name,
        .credentials = who,
        .unix_ms = clock_wall_ms(),
    };
    struct sigv4_signed sig;
    sigv4_sign(&rq, &sig);
    http_add_header(http, "x-amz-date", sig.amz_date);
    if (sig.security_token)
        http_add_header(http, "x-amz-security-token", sig.security_token);
    http_add_header(http, "Authorization", sig.authorization);
    sigv4_signed_release(&sig);
}
