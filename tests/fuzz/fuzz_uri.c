/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_uri: percent-encoding, URLs and what signatures make of paths and queries, on any bytes.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "aws/sigv4.h"
#include "core/mem.h"
#include "net/url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ROOMY BUF_INIT((size_t)1 << 24)

static void round_trip(const char *s, size_t len, bool keep_slash)
{
    struct buf encoded = ROOMY, decoded = ROOMY;
    url_encode(&encoded, s, len, keep_slash);
    CHECK(url_decode(&decoded, buf_str(&encoded), encoded.len) == 0);
    CHECK(decoded.len == len && memcmp(buf_str(&decoded), s, len) == 0);
    buf_clear(&decoded);
    if (url_decode(&decoded, s, len) < 0)
        CHECK(decoded.len == 0);
    else
        CHECK(decoded.len <= len);
    buf_release(&encoded);
    buf_release(&decoded);
}

/* What was read, written again, reads the same. */
static void parse(const char *text)
{
    struct url url, again;
    struct err err = {0};
    if (url_parse(text, &url, &err) < 0) {
        CHECK(err.code == ERR_INPUT && err.msg[0]);
        return;
    }
    CHECK(url.host[0] && url.port > 0 && url.port < 65536 && url.path[0] == '/');
    struct buf b = ROOMY;
    buf_printf(&b, "%s://", url.scheme);
    url_host_header(&url, &b);
    buf_printf(&b, "%s%s%s", url.path, url.query ? "?" : "", url.query ? url.query : "");
    CHECK(url_parse(buf_str(&b), &again, &err) == 0);
    CHECK(url_same_origin(&url, &again) && url_is_local(&url) == url_is_local(&again));
    CHECK(strcmp(url.path, again.path) == 0 && !url.query == !again.query);
    CHECK(!url.query || strcmp(url.query, again.query) == 0);
    buf_release(&b);
    url_release(&url);
    url_release(&again);
}

/* Path and query as the canonical request has them, each owned by the caller. */
static void canonical(const struct sigv4_request *rq, char **path, char **query)
{
    struct buf request = ROOMY, names = ROOMY;
    sigv4_canonical_request(rq, &request, &names);
    const char *second = strchr(buf_str(&request), '\n') + 1;
    const char *third = strchr(second, '\n') + 1;
    *path = xstrndup(second, (size_t)(third - 1 - second));
    *query = xstrndup(third, strcspn(third, "\n"));
    buf_release(&request);
    buf_release(&names);
}

static void sign(const char *path, const char *query, const char *value)
{
    static const struct aws_credentials keys = {.access_key_id = (char *)"ID",
                                                .secret_access_key = (char *)"secret",
                                                .session_token = (char *)"t/o+k=en"};
    const struct sigv4_header headers[] = {{"X-Amz-Meta-A", value}, {"x-amz-meta-a", "b"}};
    struct sigv4_request rq = {.method = "GET",
                               .path = path,
                               .query = query,
                               .headers = headers,
                               .n_headers = 2,
                               .host = "h",
                               .payload_hash = SIGV4_UNSIGNED_PAYLOAD,
                               .content_sha256 = true,
                               .region = "r",
                               .service = "s3",
                               .credentials = &keys,
                               .unix_ms = 1369353600000};
    char *once_path, *once_query, *twice_path, *twice_query;
    canonical(&rq, &once_path, &once_query);
    rq.path = once_path;
    rq.query = once_query;
    canonical(&rq, &twice_path, &twice_query);
    CHECK(strcmp(once_path, twice_path) == 0 && strcmp(once_query, twice_query) == 0);
    CHECK(once_path[0]);
    free(twice_path);
    free(twice_query);

    rq.path = path;
    rq.query = query;
    rq.normalize_path = true;
    canonical(&rq, &twice_path, &twice_query);
    CHECK(twice_path[0] == '/' && !strstr(twice_path, "//") && !strstr(twice_path, "/../"));
    free(twice_path);
    free(twice_query);
    free(once_path);
    free(once_query);

    struct buf url = ROOMY;
    sigv4_presign(&rq, 1, &url);
    CHECK(strstr(buf_str(&url), "&X-Amz-Signature="));
    buf_release(&url);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    round_trip((const char *)data, size, false);
    round_trip((const char *)data, size, true);
    char *text = xstrndup((const char *)data, size);
    parse(text);
    char *query = strchr(text, '?');
    if (query)
        *query++ = '\0';
    sign(text, query, query ? query : text);
    free(text);
    return 0;
}
