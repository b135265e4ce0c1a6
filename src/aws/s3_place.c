/* SPDX-License-Identifier: Apache-2.0 */
#include "aws/s3_place.h"

#include <stdlib.h>
#include <string.h>

#include "aws/aws_service.h"
#include "core/buf.h"
#include "core/mem.h"
#include "net/url.h"

static bool is_lower_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool starts_with(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

static bool like_ip_address(const char *s)
{
    int dots = 0;
    for (; *s; s++) {
        if (*s != '.' && (*s < '0' || *s > '9'))
            return false;
        dots += *s == '.';
    }
    return dots == 3;
}

int s3_bucket_check(const char *bucket, struct err *err)
{
    size_t len = strlen(bucket);
    const char *rule = NULL;
    if (len < 3 || len > 63)
        rule = "must have 3 to 63 characters";
    else if (strspn(bucket, "abcdefghijklmnopqrstuvwxyz0123456789.-") != len)
        rule = "may have only a-z, 0-9, '.' and '-'";
    else if (!is_lower_alnum(bucket[0]) || !is_lower_alnum(bucket[len - 1]))
        rule = "must begin and end with a letter or digit";
    else if (strstr(bucket, ".."))
        rule = "must not have two dots in a row";
    else if (like_ip_address(bucket))
        rule = "must not look like an IP address";
    else if (starts_with(bucket, "xn--") || starts_with(bucket, "sthree-"))
        rule = "must not begin with xn-- or sthree-";
    if (rule)
        return err_set(err, ERR_USAGE, "\"%.80s\" is no S3 bucket: the name %s", bucket, rule);
    return 0;
}

static bool like_ip_host(const char *host)
{
    return host[0] == '[' || like_ip_address(host);
}

static int fill(struct s3_place *place, const struct url *url, const char *bucket, bool virtual,
                struct err *err)
{
    if (virtual && like_ip_host(url->host))
        return err_set(err, ERR_USAGE,
                       "virtual addressing needs an endpoint with a name, not %s: give "
                       "--addressing-style path",
                       url->host);
    struct buf host = BUF_INIT(512);
    if (virtual)
        buf_printf(&host, "%s.", bucket);
    url_host_header(url, &host);
    size_t path_len = strlen(url->path);
    while (path_len && url->path[path_len - 1] == '/')
        path_len--;
    place->origin = xprintf("%s://%s", url->scheme, buf_str(&host));
    place->host = buf_take(&host);
    place->base_path =
        xprintf("%.*s%s%s", (int)path_len, url->path, virtual ? "" : "/", virtual ? "" : bucket);
    place->https = strcmp(url->scheme, "https") == 0;
    return 0;
}

int s3_place_init(struct s3_place *place, const char *bucket, const char *region,
                  const char *endpoint_url, enum s3_addressing addressing, struct err *err)
{
    if (s3_bucket_check(bucket, err) < 0)
        return -1;
    if (!aws_is_region(region))
        return err_set(err, ERR_USAGE, "\"%.80s\" is no region: expected one like eu-west-1",
                       region);
    char *endpoint = endpoint_url ? xstrdup(endpoint_url) : aws_service_url("s3", region);
    bool virtual = addressing == S3_ADDRESS_VIRTUAL ||
                   (addressing == S3_ADDRESS_AUTO && !endpoint_url && !strchr(bucket, '.'));
    struct url url = {0};
    struct err why = {0};
    int rc = -1;
    if (url_parse(endpoint, &url, &why) < 0)
        err_set(err, ERR_USAGE, "endpoint: %s", why.msg);
    else if (url.query)
        err_set(err, ERR_USAGE,
                "endpoint: %.200s has a query: give scheme, host, port and path only", endpoint);
    else
        rc = fill(place, &url, bucket, virtual, err);
    url_release(&url);
    if (rc == 0)
        place->endpoint = endpoint;
    else
        free(endpoint);
    return rc;
}

void s3_place_release(struct s3_place *place)
{
    free(place->endpoint);
    free(place->origin);
    free(place->host);
    free(place->base_path);
    memset(place, 0, sizeof(*place));
}
