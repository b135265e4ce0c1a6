/* SPDX-License-Identifier: Apache-2.0
 *
 * sigv4-sign: signs what it reads, for tests that compare with another signer or ask a real store.
 *
 * One JSON object a line on stdin, with the members of struct sigv4_request, and:
 *     headers   [[name, value], ...]
 *     body      text that is hashed; without it the payload is unsigned
 *     access_key, secret_key, token (optional)
 *     expires_s  a presigned URL's query is made instead of headers
 * One JSON object a line on stdout: canonical_request, authorization, amz_date; or query.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aws/sigv4.h"

enum { HEADERS_MAX = 32, LINE_MAX_BYTES = 1 << 20 };

static const char *text(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

static bool flag(const json_t *object, const char *name)
{
    return json_is_true(json_object_get(object, name));
}

static size_t read_headers(const json_t *list, struct sigv4_header *headers)
{
    size_t n = json_array_size(list);
    CHECK(n <= HEADERS_MAX);
    for (size_t i = 0; i < n; i++) {
        const json_t *pair = json_array_get(list, i);
        headers[i].name = json_string_value(json_array_get(pair, 0));
        headers[i].value = json_string_value(json_array_get(pair, 1));
        CHECK(headers[i].name && headers[i].value);
    }
    return n;
}

static json_t *presigned(const struct sigv4_request *rq, json_int_t expires_s)
{
    struct buf query = BUF_INIT(LINE_MAX_BYTES);
    sigv4_presign(rq, (unsigned)expires_s, &query);
    json_t *answer = json_pack("{s:s}", "query", buf_str(&query));
    buf_release(&query);
    return answer;
}

static json_t *signed_by_headers(const struct sigv4_request *rq)
{
    struct buf request = BUF_INIT(LINE_MAX_BYTES), names = BUF_INIT(LINE_MAX_BYTES);
    struct sigv4_signed sig;
    sigv4_canonical_request(rq, &request, &names);
    sigv4_sign(rq, &sig);
    json_t *answer = json_pack("{s:s, s:s, s:s}", "canonical_request", buf_str(&request),
                               "authorization", sig.authorization, "amz_date", sig.amz_date);
    sigv4_signed_release(&sig);
    buf_release(&request);
    buf_release(&names);
    return answer;
}

static json_t *answer_for(const json_t *object)
{
    struct sigv4_header headers[HEADERS_MAX];
    const struct aws_credentials credentials = {
        .access_key_id = (char *)text(object, "access_key"),
        .secret_access_key = (char *)text(object, "secret_key"),
        .session_token = (char *)text(object, "token"),
    };
    char hash[SIGV4_HASH_TEXT_SIZE];
    const char *body = text(object, "body");
    if (body)
        sigv4_hash(body, strlen(body), hash);
    const struct sigv4_request rq = {
        .method = text(object, "method"),
        .path = text(object, "path"),
        .query = text(object, "query"),
        .headers = headers,
        .n_headers = read_headers(json_object_get(object, "headers"), headers),
        .host = text(object, "host"),
        .payload_hash = body ? hash : SIGV4_UNSIGNED_PAYLOAD,
        .content_sha256 = flag(object, "content_sha256"),
        .normalize_path = flag(object, "normalize_path"),
        .region = text(object, "region"),
        .service = text(object, "service"),
        .credentials = &credentials,
        .unix_ms = json_integer_value(json_object_get(object, "unix_ms")),
    };
    CHECK(rq.method && rq.path && rq.host && rq.region && rq.service);
    CHECK(credentials.access_key_id && credentials.secret_access_key);
    json_int_t expires_s = json_integer_value(json_object_get(object, "expires_s"));
    return expires_s ? presigned(&rq, expires_s) : signed_by_headers(&rq);
}

int main(void)
{
    static char line[LINE_MAX_BYTES];
    while (fgets(line, sizeof(line), stdin)) {
        json_error_t why;
        json_t *object = json_loads(line, 0, &why);
        if (!object) {
            fprintf(stderr, "sigv4-sign: stdin: %s\n", why.text);
            return 2;
        }
        json_t *answer = answer_for(object);
        CHECK(answer && json_dumpf(answer, stdout, JSON_COMPACT) == 0 && putchar('\n') == '\n');
        json_decref(answer);
        json_decref(object);
    }
    return ferror(stdin) || fflush(stdout) ? 1 : 0;
}
