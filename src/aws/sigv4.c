/* SPDX-License-Identifier: Apache-2.0
 *
 * sigv4: canonical request, string to sign, signature; then the two ways they are sent.
 */
#include "aws/sigv4.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/mem.h"
#include "core/text.h"
#include "net/url.h"

#define ALGORITHM "AWS4-HMAC-SHA256"

enum { HASH_SIZE = SHA256_DIGEST_LENGTH };

/* What is made here is a few times as long as the request, whose parts have their own caps; cut
 * short it would be signed wrongly. */
#define UNCAPPED BUF_INIT((size_t)-1 / 4)

/* A header or a query parameter in canonical form. */
struct pair {
    char *name;  /* owned */
    char *value; /* owned */
    size_t index;
};

static int compare_headers(const void *a, const void *b)
{
    const struct pair *x = a, *y = b;
    int order = strcmp(x->name, y->name);
    return order ? order : x->index < y->index ? -1 : x->index > y->index;
}

static int compare_parameters(const void *a, const void *b)
{
    const struct pair *x = a, *y = b;
    int order = strcmp(x->name, y->name);
    return order ? order : strcmp(x->value, y->value);
}

static void pairs_free(struct pair *pairs, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(pairs[i].name);
        free(pairs[i].value);
    }
    free(pairs);
}

/* ---- stage 1: the canonical request ---- */

/* Encodes what may be encoded already, or in another way than AWS wants it. */
static void recode(struct buf *out, const char *s, size_t len, bool keep_slash)
{
    struct buf plain = UNCAPPED;
    if (url_decode(&plain, s, len) == 0)
        url_encode(out, buf_str(&plain), plain.len, keep_slash);
    else
        url_encode(out, s, len, keep_slash);
    buf_release(&plain);
}

/* Without empty segments, "." and what ".." takes back; never climbs over the root. */
static void normalized_path(const char *path, struct buf *out)
{
    struct buf clean = UNCAPPED;
    size_t len = 0;
    for (const char *s = path; *s; s += len) {
        s += strspn(s, "/");
        len = strcspn(s, "/");
        if (len == 0 || (len == 1 && s[0] == '.'))
            continue;
        if (len == 2 && s[0] == '.' && s[1] == '.') {
            while (clean.len && clean.data[--clean.len] != '/')
                ;
            continue;
        }
        buf_byte(&clean, '/');
        buf_append(&clean, s, len);
    }
    if (clean.len == 0 || path[strlen(path) - 1] == '/')
        buf_byte(&clean, '/');
    url_encode(out, buf_str(&clean), clean.len, true);
    buf_release(&clean);
}

static void canonical_path(const struct sigv4_request *rq, struct buf *out)
{
    if (rq->normalize_path)
        normalized_path(rq->path, out);
    else if (rq->path[0])
        recode(out, rq->path, strlen(rq->path), true);
    else
        buf_byte(out, '/');
}

static char *recoded(const char *s, size_t len)
{
    struct buf b = UNCAPPED;
    recode(&b, s, len, false);
    return buf_take(&b);
}

static void canonical_query(const char *query, struct buf *out)
{
    if (!query)
        return;
    size_t n = 0, most = 1;
    for (const char *s = query; *s; s++)
        most += *s == '&';
    struct pair *pairs = xcalloc(most, sizeof(*pairs));
    for (const char *s = query; *s;) {
        size_t len = strcspn(s, "&");
        size_t name_len = strcspn(s, "&=");
        if (len) {
            const char *value = s + name_len + (name_len < len);
            pairs[n].name = recoded(s, name_len);
            pairs[n++].value = recoded(value, (size_t)(s + len - value));
        }
        s += len + (s[len] == '&');
    }
    qsort(pairs, n, sizeof(*pairs), compare_parameters);
    for (size_t i = 0; i < n; i++) {
        buf_str_append(out, i ? "&" : "");
        buf_str_append(out, pairs[i].name);
        buf_byte(out, '=');
        buf_str_append(out, pairs[i].value);
    }
    pairs_free(pairs, n);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Trimmed, and every run of blanks one space. */
static char *folded(const char *value)
{
    struct buf b = UNCAPPED;
    for (const char *s = value; *s; s++) {
        if (!is_blank(*s))
            buf_byte(&b, *s);
        else if (b.len && s[1] && !is_blank(s[1]))
            buf_byte(&b, ' ');
    }
    return buf_take(&b);
}

static void add_header(struct pair *pairs, size_t *n, const char *name, const char *value)
{
    char *lower = xstrdup(name);
    for (char *c = lower; *c; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c - 'A' + 'a');
    pairs[*n] = (struct pair){.name = lower, .value = folded(value), .index = *n};
    ++*n;
}

enum { OWN_HEADERS = 4 };

/* Everything that is signed, sorted. A presigned URL's own values are in its query instead. */
static struct pair *canonical_headers(const struct sigv4_request *rq, bool presigned, size_t *n)
{
    struct pair *pairs = xcalloc(rq->n_headers + OWN_HEADERS, sizeof(*pairs));
    *n = 0;
    for (size_t i = 0; i < rq->n_headers; i++)
        add_header(pairs, n, rq->headers[i].name, rq->headers[i].value);
    add_header(pairs, n, "host", rq->host);
    if (!presigned) {
        char date[DATE_TEXT_SIZE];
        date_format_amz(rq->unix_ms, date);
        add_header(pairs, n, "x-amz-date", date);
        if (rq->content_sha256)
            add_header(pairs, n, "x-amz-content-sha256", rq->payload_hash);
        if (rq->credentials->session_token)
            add_header(pairs, n, "x-amz-security-token", rq->credentials->session_token);
    }
    qsort(pairs, *n, sizeof(*pairs), compare_headers);
    return pairs;
}

static bool repeats(const struct pair *pairs, size_t i)
{
    return i > 0 && strcmp(pairs[i].name, pairs[i - 1].name) == 0;
}

static void header_lines(const struct pair *pairs, size_t n, struct buf *out)
{
    for (size_t i = 0; i < n; i++) {
        if (repeats(pairs, i)) {
            buf_byte(out, ',');
        } else {
            buf_str_append(out, i ? "\n" : "");
            buf_str_append(out, pairs[i].name);
            buf_byte(out, ':');
        }
        buf_str_append(out, pairs[i].value);
    }
    buf_byte(out, '\n');
}

static void header_names(const struct pair *pairs, size_t n, struct buf *out)
{
    for (size_t i = 0; i < n; i++) {
        if (repeats(pairs, i))
            continue;
        buf_str_append(out, i ? ";" : "");
        buf_str_append(out, pairs[i].name);
    }
}

static void canonical_request(const struct sigv4_request *rq, bool presigned, struct buf *out,
                              struct buf *signed_headers)
{
    size_t n;
    struct pair *headers = canonical_headers(rq, presigned, &n);
    buf_clear(signed_headers);
    header_names(headers, n, signed_headers);
    buf_str_append(out, rq->method);
    buf_byte(out, '\n');
    canonical_path(rq, out);
    buf_byte(out, '\n');
    canonical_query(rq->query, out);
    buf_byte(out, '\n');
    header_lines(headers, n, out);
    buf_byte(out, '\n');
    buf_str_append(out, buf_str(signed_headers));
    buf_byte(out, '\n');
    buf_str_append(out, rq->payload_hash);
    pairs_free(headers, n);
}

void sigv4_canonical_request(const struct sigv4_request *rq, struct buf *out,
                             struct buf *signed_headers)
{
    canonical_request(rq, false, out, signed_headers);
}

/* ---- stage 2: the string to sign ---- */

enum { DAY_LEN = 8 }; /* of "20130524T000000Z" */

static void scope(const struct sigv4_request *rq, const char *date, struct buf *out)
{
    buf_append(out, date, DAY_LEN);
    buf_byte(out, '/');
    buf_str_append(out, rq->region);
    buf_byte(out, '/');
    buf_str_append(out, rq->service);
    buf_str_append(out, "/aws4_request");
}

void sigv4_string_to_sign(const struct sigv4_request *rq, const char *canonical_request,
                          struct buf *out)
{
    char date[DATE_TEXT_SIZE], hash[SIGV4_HASH_TEXT_SIZE];
    date_format_amz(rq->unix_ms, date);
    sigv4_hash(canonical_request, strlen(canonical_request), hash);
    buf_str_append(out, ALGORITHM "\n");
    buf_str_append(out, date);
    buf_byte(out, '\n');
    scope(rq, date, out);
    buf_byte(out, '\n');
    buf_str_append(out, hash);
}

/* ---- stage 3: the signature ---- */

static void hmac(const void *key, size_t key_len, const char *text, size_t len,
                 unsigned char out[HASH_SIZE])
{
    CHECK(HMAC(EVP_sha256(), key, (int)key_len, (const unsigned char *)text, len, out, NULL));
}

static bool is_key_of(const struct sigv4_key *key, const struct sigv4_request *rq, const char *date)
{
    return key->secret && strncmp(key->day, date, DAY_LEN) == 0 &&
           strcmp(key->secret, rq->credentials->secret_access_key) == 0 &&
           strcmp(key->region, rq->region) == 0 && strcmp(key->service, rq->service) == 0;
}

static void make_key(struct sigv4_key *key, const struct sigv4_request *rq, const char *date)
{
    sigv4_key_release(key);
    key->secret = xstrdup(rq->credentials->secret_access_key);
    key->region = xstrdup(rq->region);
    key->service = xstrdup(rq->service);
    memcpy(key->day, date, DAY_LEN);
    unsigned char a[HASH_SIZE], b[HASH_SIZE];
    struct buf secret = UNCAPPED;
    buf_str_append(&secret, "AWS4");
    buf_str_append(&secret, key->secret);
    hmac(secret.data, secret.len, key->day, DAY_LEN, a);
    hmac(a, sizeof(a), key->region, strlen(key->region), b);
    hmac(b, sizeof(b), key->service, strlen(key->service), a);
    hmac(a, sizeof(a), "aws4_request", strlen("aws4_request"), key->bytes);
    OPENSSL_cleanse(secret.data, secret.len);
    buf_release(&secret);
    OPENSSL_cleanse(a, sizeof(a));
    OPENSSL_cleanse(b, sizeof(b));
}

void sigv4_key_release(struct sigv4_key *key)
{
    if (key->secret)
        OPENSSL_cleanse(key->secret, strlen(key->secret));
    free(key->secret);
    free(key->region);
    free(key->service);
    OPENSSL_cleanse(key, sizeof(*key));
}

void sigv4_signature(const struct sigv4_request *rq, const char *string_to_sign,
                     char out[SIGV4_HASH_TEXT_SIZE])
{
    char date[DATE_TEXT_SIZE];
    unsigned char hash[HASH_SIZE];
    struct sigv4_key own = {0}, *key = rq->key ? rq->key : &own;
    date_format_amz(rq->unix_ms, date);
    if (!is_key_of(key, rq, date))
        make_key(key, rq, date);
    hmac(key->bytes, sizeof(key->bytes), string_to_sign, strlen(string_to_sign), hash);
    text_hex(hash, sizeof(hash), out);
    sigv4_key_release(&own);
}

static void sign(const struct sigv4_request *rq, bool presigned, struct buf *signed_headers,
                 char out[SIGV4_HASH_TEXT_SIZE])
{
    struct buf request = UNCAPPED, to_sign = UNCAPPED;
    canonical_request(rq, presigned, &request, signed_headers);
    sigv4_string_to_sign(rq, buf_str(&request), &to_sign);
    sigv4_signature(rq, buf_str(&to_sign), out);
    buf_release(&request);
    buf_release(&to_sign);
}

/* ---- what is sent ---- */

void sigv4_sign(const struct sigv4_request *rq, struct sigv4_signed *out)
{
    struct buf names = UNCAPPED, header = UNCAPPED;
    char signature[SIGV4_HASH_TEXT_SIZE];
    sign(rq, false, &names, signature);
    *out = (struct sigv4_signed){
        .security_token = rq->credentials->session_token,
        .content_sha256 = rq->content_sha256 ? rq->payload_hash : NULL,
    };
    date_format_amz(rq->unix_ms, out->amz_date);
    buf_str_append(&header, ALGORITHM " Credential=");
    buf_str_append(&header, rq->credentials->access_key_id);
    buf_byte(&header, '/');
    scope(rq, out->amz_date, &header);
    buf_str_append(&header, ", SignedHeaders=");
    buf_str_append(&header, buf_str(&names));
    buf_str_append(&header, ", Signature=");
    buf_str_append(&header, signature);
    out->authorization = buf_take(&header);
    buf_release(&names);
}

void sigv4_signed_release(struct sigv4_signed *s)
{
    free(s->authorization);
    *s = (struct sigv4_signed){0};
}

static void add_parameter(struct buf *query, const char *name, const char *value)
{
    buf_printf(query, "%s%s=", query->len ? "&" : "", name);
    url_encode(query, value, strlen(value), false);
}

void sigv4_presign(const struct sigv4_request *rq, unsigned expires_s, struct buf *query)
{
    struct buf names = UNCAPPED, value = UNCAPPED, parameters = UNCAPPED, canonical = UNCAPPED;
    size_t n;
    struct pair *headers = canonical_headers(rq, true, &n);
    header_names(headers, n, &names);
    pairs_free(headers, n);
    char text[DATE_TEXT_SIZE];
    if (rq->query)
        buf_str_append(&parameters, rq->query);
    add_parameter(&parameters, "X-Amz-Algorithm", ALGORITHM);
    buf_printf(&value, "%s/", rq->credentials->access_key_id);
    date_format_amz(rq->unix_ms, text);
    scope(rq, text, &value);
    add_parameter(&parameters, "X-Amz-Credential", buf_str(&value));
    add_parameter(&parameters, "X-Amz-Date", text);
    snprintf(text, sizeof(text), "%u", expires_s);
    add_parameter(&parameters, "X-Amz-Expires", text);
    add_parameter(&parameters, "X-Amz-SignedHeaders", buf_str(&names));
    if (rq->credentials->session_token)
        add_parameter(&parameters, "X-Amz-Security-Token", rq->credentials->session_token);
    canonical_query(buf_str(&parameters), &canonical);

    struct sigv4_request presigned = *rq;
    presigned.query = buf_str(&canonical);
    char signature[SIGV4_HASH_TEXT_SIZE];
    sign(&presigned, true, &names, signature);
    buf_printf(query, "%s&X-Amz-Signature=%s", buf_str(&canonical), signature);
    buf_release(&names);
    buf_release(&value);
    buf_release(&parameters);
    buf_release(&canonical);
}

void sigv4_hash(const void *data, size_t len, char out[SIGV4_HASH_TEXT_SIZE])
{
    unsigned char hash[HASH_SIZE];
    CHECK(SHA256(data, len, hash));
    text_hex(hash, sizeof(hash), out);
}
