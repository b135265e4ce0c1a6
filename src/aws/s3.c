/* SPDX-License-Identifier: Apache-2.0 */
#include "aws/s3.h"

#include <stdlib.h>
#include <string.h>

#include "aws/s3_call.h"
#include "aws/xml.h"
#include "core/clock.h"
#include "core/crc32c.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/random.h"
#include "core/text.h"
#include "net/url.h"

enum {
    /* S3 takes 2 KiB of metadata in all; a longer output name could be no file's either. */
    OUTPUT_NAME_MAX = 340,
    COMPLETE_TRIES_MAX = 4,
    COMPLETE_DELAY_MS = 500, /* before the second try at most; doubled for each further one */
    UPLOAD_ID_MAX = 2048,
};

struct s3 *s3_new(struct loop *loop, const struct s3_config *config, struct err *err)
{
    const char *region = config->region ? config->region : "us-east-1";
    struct s3_place place = {0};
    if (s3_place_init(&place, config->bucket, region, config->endpoint_url, config->addressing,
                      err) < 0)
        return NULL;
    struct s3 *s3 = xcalloc(1, sizeof(*s3));
    s3->loop = loop;
    s3->place = place;
    s3->bucket = xstrdup(config->bucket);
    s3->region = xstrdup(region);
    s3->endpoint_url = xstrdup(config->endpoint_url);
    s3->addressing = config->addressing;
    s3->sse = xstrdup(config->sse);
    s3->sse_kms_key_id = xstrdup(config->sse_kms_key_id);
    s3->storage_class = xstrdup(config->storage_class);
    /* Over https TLS guards the bytes, and hashing them would be the dearest thing we do. */
    s3->sign_payload = !place.https && !config->unsigned_payload;
    s3->checksum = !config->no_checksum;
    s3->credentials = config->credentials;
    return s3;
}

void s3_free(struct s3 *s3)
{
    if (!s3)
        return;
    s3_place_release(&s3->place);
    free(s3->bucket);
    free(s3->region);
    free(s3->endpoint_url);
    free(s3->sse);
    free(s3->sse_kms_key_id);
    free(s3->storage_class);
    sigv4_key_release(&s3->key);
    free(s3);
}

void s3_watch(struct s3 *s3, void (*fn)(void *arg, const struct s3_answer *answer), void *arg)
{
    s3->watch = fn;
    s3->watch_arg = arg;
}

void s3_locate(const struct s3 *s3, const char *key, struct buf *out)
{
    buf_printf(out, "s3://%s/%s", s3->bucket, key);
}

/* ---- pieces of requests ---- */

static bool is_printable_ascii(const char *s)
{
    for (; *s; s++)
        if (*s < 0x20 || *s > 0x7e)
            return false;
    return true;
}

static void header_if(struct s3_call *call, const char *name, const char *value)
{
    if (!value || !*value)
        return;
    if (is_printable_ascii(value))
        s3_call_header(call, name, value);
    else
        log_warn("%s: %s is not printable ASCII and is left out", call->key, name);
}

static void meta(struct s3_call *call, const char *name, const char *value)
{
    if (!value)
        return;
    size_t len = strlen(value);
    if (len > OUTPUT_NAME_MAX) {
        len = OUTPUT_NAME_MAX;
        while (len && ((unsigned char)value[len] & 0xc0) == 0x80) /* not inside a character */
            len--;
    }
    struct buf text = BUF_INIT(3 * OUTPUT_NAME_MAX);
    url_encode(&text, value, len, false);
    s3_call_header(call, name, buf_str(&text));
    buf_release(&text);
}

/* What PutObject and CreateMultipartUpload have in common. */
static void describe_object(struct s3_call *call, const struct s3_object *object)
{
    const struct s3 *s3 = call->s3;
    header_if(call, "content-type", object->content_type);
    header_if(call, "content-encoding", object->content_encoding);
    meta(call, "x-amz-meta-egress-source", object->source);
    meta(call, "x-amz-meta-egress-job", object->job);
    meta(call, "x-amz-meta-egress-output", object->output);
    meta(call, "x-amz-meta-egress-attempt", object->attempt);
    header_if(call, "x-amz-server-side-encryption", s3->sse);
    header_if(call, "x-amz-server-side-encryption-aws-kms-key-id", s3->sse_kms_key_id);
    header_if(call, "x-amz-storage-class", s3->storage_class);
}

static void conditions(struct s3_call *call, const struct s3_object *object)
{
    if (object->if_none_match)
        s3_call_header(call, "if-none-match", "*");
    if (object->if_match && *object->if_match && is_printable_ascii(object->if_match))
        s3_call_header(call, "if-match", object->if_match);
    else if (object->if_match && call->refused.code == ERR_NONE)
        err_set(&call->refused, ERR_INPUT, "%.200s: \"%.100s\" is no ETag to compare with",
                object->key, object->if_match);
}

static void checksum(struct s3_call *call, uint32_t crc)
{
    char text[CRC32C_TEXT_SIZE];
    if (!call->s3->checksum)
        return;
    crc32c_format(crc, text);
    s3_call_header(call, "x-amz-checksum-crc32c", text);
}

static void body(struct s3_call *call, const void *data, size_t len, bool bulk)
{
    call->has_body = true;
    call->body = data;
    call->body_len = len;
    call->bulk_body = bulk;
}

/* ---- pieces of answers ---- */

static bool is_html(const struct http_response *rsp)
{
    const char *type = http_response_header(rsp, "Content-Type");
    return type && strncmp(type, "text/html", 9) == 0;
}

/* Every S3 answers a write or read of an object with its ETag; it goes back to the store verbatim,
 * in headers and in XML. */
static enum s3_next take_etag(struct s3_call *call, const struct http_response *rsp,
                              char out[S3_ETAG_SIZE], struct err *err)
{
    const char *etag = http_response_header(rsp, "ETag");
    if (!etag && is_html(rsp))
        return s3_call_not_s3(call, rsp, err);
    if (!etag || !*etag)
        return s3_call_nonsense(call, "the answer has no ETag", err);
    if (strlen(etag) >= S3_ETAG_SIZE || !is_printable_ascii(etag))
        return s3_call_nonsense(call, "the answer's ETag is malformed", err);
    snprintf(out, S3_ETAG_SIZE, "%s", etag);
    return S3_DONE;
}

static enum s3_next read_etag(struct s3_call *call, const struct http_response *rsp,
                              struct err *err)
{
    char etag[S3_ETAG_SIZE];
    enum s3_next next = take_etag(call, rsp, etag, err);
    if (next == S3_DONE && call->etag)
        memcpy(call->etag, etag, S3_ETAG_SIZE);
    return next;
}

/* ---- HeadObject ---- */

/* Metadata may have been written by anybody: [A-Za-z0-9][A-Za-z0-9_-]* that fits, or nothing. */
static void take_meta(const struct http_response *rsp, const char *name, char *out, size_t size)
{
    static const char allowed[] =
        "-_ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    const char *value = http_response_header(rsp, name);
    if (value && *value && strchr(allowed + 2, *value) && strlen(value) < size &&
        strspn(value, allowed) == strlen(value))
        snprintf(out, size, "%s", value);
}

static enum s3_next read_head(struct s3_call *call, const struct http_response *rsp,
                              struct err *err)
{
    struct s3_info info = {0};
    if (!http_response_header(rsp, "ETag"))
        return s3_call_not_s3(call, rsp, err);
    if (take_etag(call, rsp, info.etag, err) != S3_DONE)
        return S3_FAILED;
    if (rsp->content_length < 0)
        return s3_call_nonsense(call, "the answer has no Content-Length", err);
    info.size = (uint64_t)rsp->content_length;
    const char *modified = http_response_header(rsp, "Last-Modified");
    if (modified && date_parse_http(modified, &info.modified_ms) < 0)
        info.modified_ms = 0;
    const char *crc = http_response_header(rsp, "x-amz-checksum-crc32c");
    const char *type = http_response_header(rsp, "x-amz-checksum-type");
    /* A composite one (of the parts' checksums) ends in "-N": no base64, so it does not parse. */
    info.has_crc32c =
        crc && (!type || strcmp(type, "COMPOSITE") != 0) && crc32c_parse(crc, &info.crc32c) == 0;
    take_meta(rsp, "x-amz-meta-egress-source", info.source, sizeof(info.source));
    take_meta(rsp, "x-amz-meta-egress-job", info.job, sizeof(info.job));
    take_meta(rsp, "x-amz-meta-egress-attempt", info.attempt, sizeof(info.attempt));
    *call->info = info;
    return S3_DONE;
}

struct s3_call *s3_head(struct s3 *s3, const char *key, struct s3_info *out, s3_done_fn *done,
                        void *arg)
{
    struct s3_call *call = s3_call_new(s3, "HeadObject", "HEAD", key, done, arg);
    if (s3->checksum)
        s3_call_header(call, "x-amz-checksum-mode", "ENABLED");
    call->info = out;
    call->on_answer = read_head;
    return s3_call_start(call);
}

/* ---- GetObject, PutObject ---- */

struct s3_call *s3_get(struct s3 *s3, const char *key,
                       int (*on_data)(void *arg, const void *data, size_t len), s3_done_fn *done,
                       void *arg)
{
    struct s3_call *call = s3_call_new(s3, "GetObject", "GET", key, done, arg);
    call->on_data = on_data;
    call->on_answer = read_etag;
    return s3_call_start(call);
}

struct s3_call *s3_put(struct s3 *s3, const struct s3_object *object, const void *data, size_t len,
                       uint32_t crc32c, char etag[S3_ETAG_SIZE], s3_done_fn *done, void *arg)
{
    struct s3_call *call = s3_call_new(s3, "PutObject", "PUT", object->key, done, arg);
    describe_object(call, object);
    conditions(call, object);
    checksum(call, crc32c);
    body(call, data, len, true);
    call->etag = etag;
    call->on_answer = read_etag;
    return s3_call_start(call);
}

/* ---- multipart ---- */

static void each_of_create(void *arg, const char *path, const char *text)
{
    char **id = arg;
    if (strcmp(path, "InitiateMultipartUploadResult/UploadId") == 0) {
        free(*id);
        *id = xstrdup(text);
    }
}

static enum s3_next read_create(struct s3_call *call, const struct http_response *rsp,
                                struct err *err)
{
    char *id = NULL;
    struct err why = {0};
    enum s3_next next = S3_DONE;
    if (s3_error_is(rsp->body, rsp->body_len))
        next = s3_call_refused(call, rsp, err);
    else if (xml_read(rsp->body, rsp->body_len, each_of_create, &id, &why) < 0)
        next = s3_call_not_s3(call, rsp, err);
    else if (!id || !*id || strlen(id) > UPLOAD_ID_MAX)
        next = s3_call_nonsense(call, "the answer has no usable UploadId", err);
    struct s3_created *created = call->created;
    const char *date = http_response_header(rsp, "Date");
    int64_t date_ms;
    if (date && date_parse_http(date, &date_ms) == 0) {
        created->from_ms += date_ms - created->to_ms;
        created->to_ms = date_ms;
    }
    if (next == S3_DONE) {
        created->upload_id = id;
    } else {
        free(id);
        created->lost++;
    }
    return next;
}

struct s3_call *s3_create_upload(struct s3 *s3, const struct s3_object *object,
                                 struct s3_created *out, s3_done_fn *done, void *arg)
{
    struct s3_call *call = s3_call_new(s3, "CreateMultipartUpload", "POST", object->key, done, arg);
    s3_call_query(call, "uploads", "");
    describe_object(call, object);
    if (s3->checksum) {
        s3_call_header(call, "x-amz-checksum-algorithm", "CRC32C");
        s3_call_header(call, "x-amz-checksum-type", "FULL_OBJECT");
    }
    body(call, "", 0, false);
    *out = (struct s3_created){0};
    call->created = out;
    call->on_answer = read_create;
    return s3_call_start(call);
}

struct s3_call *s3_upload_part(struct s3 *s3, const char *key, const char *upload_id,
                               uint32_t number, const void *data, size_t len, uint32_t crc32c,
                               char etag[S3_ETAG_SIZE], s3_done_fn *done, void *arg)
{
    CHECK(number >= 1 && number <= S3_PARTS_MAX);
    struct s3_call *call = s3_call_new(s3, "UploadPart", "PUT", key, done, arg);
    char text[16];
    snprintf(text, sizeof(text), "%u", (unsigned)number);
    s3_call_query(call, "partNumber", text);
    s3_call_query(call, "uploadId", upload_id);
    checksum(call, crc32c);
    body(call, data, len, true);
    call->etag = etag;
    call->on_answer = read_etag;
    return s3_call_start(call);
}

struct completed {
    bool root; /* it is the document that we expect */
    char etag[S3_ETAG_SIZE];
};

static void each_of_complete(void *arg, const char *path, const char *text)
{
    struct completed *c = arg;
    if (strcmp(path, "CompleteMultipartUploadResult") == 0)
        c->root = true;
    else if (strcmp(path, "CompleteMultipartUploadResult/ETag") == 0 &&
             strlen(text) < sizeof(c->etag) && is_printable_ascii(text))
        snprintf(c->etag, sizeof(c->etag), "%s", text);
}

/* A 200 may hold an <Error>: S3 begins to answer before it knows. net sees a success there, so the
 * retry is ours. */
static enum s3_next read_complete(struct s3_call *call, const struct http_response *rsp,
                                  struct err *err)
{
    struct completed c = {0};
    struct err why = {0};
    if (s3_error_is(rsp->body, rsp->body_len)) {
        s3_call_refused(call, rsp, err);
        if (err->code != ERR_HTTP || !err_is_retryable(err) || call->tries >= COMPLETE_TRIES_MAX)
            return S3_FAILED;
        call->again_ms = (int64_t)(random_u64() % ((uint64_t)COMPLETE_DELAY_MS << call->tries));
        return S3_AGAIN;
    }
    if (xml_read(rsp->body, rsp->body_len, each_of_complete, &c, &why) < 0)
        return is_html(rsp) ? s3_call_not_s3(call, rsp, err)
                            : s3_call_nonsense(call, "the answer is no XML", err);
    if (!c.root)
        return s3_call_nonsense(call, "the answer is no CompleteMultipartUploadResult", err);
    if (call->etag)
        memcpy(call->etag, c.etag, S3_ETAG_SIZE);
    return S3_DONE;
}

struct s3_call *s3_complete_upload(struct s3 *s3, const struct s3_object *object,
                                   const struct s3_parts *parts, char etag[S3_ETAG_SIZE],
                                   s3_done_fn *done, void *arg)
{
    struct s3_call *call =
        s3_call_new(s3, "CompleteMultipartUpload", "POST", object->key, done, arg);
    call->conflict_ends = true;
    s3_call_query(call, "uploadId", parts->upload_id);
    s3_call_header(call, "content-type", "application/xml");
    conditions(call, object);
    if (s3->checksum) {
        char size[24];
        snprintf(size, sizeof(size), "%llu", (unsigned long long)parts->size);
        checksum(call, parts->crc32c);
        s3_call_header(call, "x-amz-checksum-type", "FULL_OBJECT");
        s3_call_header(call, "x-amz-mp-object-size", size);
    }
    call->own_body = BUF_INIT((size_t)S3_PARTS_MAX * (6 * S3_ETAG_SIZE + 128));
    buf_str_append(&call->own_body, "<CompleteMultipartUpload "
                                    "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    for (uint32_t i = 0; i < parts->n; i++) {
        const struct s3_part *part = &parts->parts[i];
        buf_printf(&call->own_body, "<Part><PartNumber>%u</PartNumber><ETag>", (unsigned)(i + 1));
        xml_escape(&call->own_body, part->etag);
        buf_str_append(&call->own_body, "</ETag>");
        if (s3->checksum && part->has_crc32c) {
            char crc[CRC32C_TEXT_SIZE];
            crc32c_format(part->crc32c, crc);
            buf_printf(&call->own_body, "<ChecksumCRC32C>%s</ChecksumCRC32C>", crc);
        }
        buf_str_append(&call->own_body, "</Part>");
    }
    buf_str_append(&call->own_body, "</CompleteMultipartUpload>");
    CHECK(!buf_overflowed(&call->own_body));
    body(call, buf_str(&call->own_body), call->own_body.len, false);
    call->etag = etag;
    call->on_answer = read_complete;
    return s3_call_start(call);
}

static enum s3_next read_nothing(struct s3_call *call, const struct http_response *rsp,
                                 struct err *err)
{
    return is_html(rsp) ? s3_call_not_s3(call, rsp, err) : S3_DONE;
}

struct s3_call *s3_abort_upload(struct s3 *s3, const char *key, const char *upload_id,
                                s3_done_fn *done, void *arg)
{
    struct s3_call *call = s3_call_new(s3, "AbortMultipartUpload", "DELETE", key, done, arg);
    s3_call_query(call, "uploadId", upload_id);
    call->on_answer = read_nothing;
    return s3_call_start(call);
}

struct s3_call *s3_delete(struct s3 *s3, const char *key, const char *if_match, s3_done_fn *done,
                          void *arg)
{
    struct s3_call *call = s3_call_new(s3, "DeleteObject", "DELETE", key, done, arg);
    if (if_match && is_printable_ascii(if_match))
        s3_call_header(call, "if-match", if_match);
    call->on_answer = read_nothing;
    return s3_call_start(call);
}

/* ---- ListObjectsV2 ---- */

struct page {
    bool root; /* it is the document that we expect */
    bool encoded;
    bool truncated;
    char *token;     /* owned */
    struct buf keys; /* as they came, each with its NUL */
};

static void each_of_list(void *arg, const char *path, const char *text)
{
    struct page *page = arg;
    static const char root[] = "ListBucketResult";
    if (strncmp(path, root, sizeof(root) - 1) != 0)
        return;
    const char *rest = path + sizeof(root) - 1;
    if (!*rest) {
        page->root = true;
    } else if (strcmp(rest, "/Contents/Key") == 0) {
        buf_append(&page->keys, text, strlen(text) + 1);
    } else if (strcmp(rest, "/EncodingType") == 0) {
        page->encoded = strcmp(text, "url") == 0;
    } else if (strcmp(rest, "/IsTruncated") == 0) {
        page->truncated = strcmp(text, "true") == 0;
    } else if (strcmp(rest, "/NextContinuationToken") == 0) {
        free(page->token);
        page->token = xstrdup(text);
    }
}

/* AWS encodes keys as HTML forms do: a '+' is a space there, and a plus is %2B. */
static void tell_key(const struct s3_call *call, const char *text, bool encoded)
{
    if (!encoded) {
        call->each(call->arg, text);
        return;
    }
    struct buf key = BUF_INIT(XML_SIZE_MAX);
    char *spaced = xstrdup(text);
    for (char *plus = strchr(spaced, '+'); plus; plus = strchr(plus, '+'))
        *plus = ' ';
    /* A NUL cannot be in a key of ours; whatever else cannot be decoded is none of ours either. */
    if (url_decode(&key, spaced, strlen(spaced)) == 0 && strlen(buf_str(&key)) == key.len)
        call->each(call->arg, buf_str(&key));
    free(spaced);
    buf_release(&key);
}

static void list_query(struct s3_call *call, const char *prefix, const char *token)
{
    buf_clear(&call->query);
    s3_call_query(call, "list-type", "2");
    s3_call_query(call, "encoding-type", "url");
    if (*prefix)
        s3_call_query(call, "prefix", prefix);
    if (token)
        s3_call_query(call, "continuation-token", token);
}

static enum s3_next next_page(struct s3_call *call, struct page *page, struct err *err)
{
    if (!page->truncated)
        return S3_DONE;
    enum s3_next next = s3_call_turn_page(call, page->token, page->keys.len, err);
    if (next != S3_AGAIN)
        return next;
    list_query(call, call->prefix, call->token);
    if (buf_overflowed(&call->query))
        return s3_call_nonsense(call, "the continuation token is too long", err);
    return S3_AGAIN;
}

static enum s3_next read_list(struct s3_call *call, const struct http_response *rsp,
                              struct err *err)
{
    struct page page = {.keys = BUF_INIT(XML_SIZE_MAX)};
    struct err why = {0};
    enum s3_next next;
    if (s3_error_is(rsp->body, rsp->body_len)) {
        next = s3_call_refused(call, rsp, err);
    } else if (xml_read(rsp->body, rsp->body_len, each_of_list, &page, &why) < 0 || !page.root) {
        next = s3_call_not_s3(call, rsp, err);
    } else {
        const char *key = buf_str(&page.keys), *end = key + page.keys.len;
        for (; key < end && !call->cancelled; key += strlen(key) + 1)
            tell_key(call, key, page.encoded);
        next = next_page(call, &page, err);
    }
    buf_release(&page.keys);
    free(page.token);
    return next;
}

struct s3_call *s3_list(struct s3 *s3, const char *prefix, void (*each)(void *arg, const char *key),
                        s3_done_fn *done, void *arg)
{
    struct s3_call *call = s3_call_new(s3, "ListObjectsV2", "GET", NULL, done, arg);
    call->prefix = xstrdup(prefix);
    call->answer_max = XML_SIZE_MAX;
    call->each = each;
    call->on_answer = read_list;
    list_query(call, prefix, NULL);
    return s3_call_start(call);
}
