/* SPDX-License-Identifier: Apache-2.0
 *
 * Output bodies.
 */
#include "output.h"

#include <string.h>
#include <strings.h>

#include "body.h"
#include "core/buf.h"
#include "core/crc32c.h"
#include "core/mem.h"
#include "core/text.h"
#include "job_json.h"
#include "server.h"

/* The larger the block, the fewer calls for each gigabyte; a body's memory is this. */
enum { BLOCK = 512 * 1024 };

struct body {
    struct sim *sim;
    struct content content;
    uint64_t left; /* of the range */
};

/* Called by libmicrohttpd whenever it has sent what it had. */
static ssize_t read_body(void *cls, uint64_t pos, char *buf, size_t max)
{
    (void)pos;
    struct body *body = cls;
    if (body->left == 0)
        return MHD_CONTENT_READER_END_OF_STREAM;
    if (max > body->left)
        max = (size_t)body->left;
    ssize_t n = content_read(&body->content, buf, max);
    if (n < 0)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    body->left -= (uint64_t)n;
    body->sim->output_bytes += (unsigned long long)n;
    return n;
}

static void free_body(void *cls)
{
    struct body *body = cls;
    content_close(&body->content);
    free(body);
}

/* ---- ranges ---------------------------------------------------------------------------------- */

enum range { WHOLE, PARTIAL, UNSATISFIABLE };

static int parse_digits(const char **s, uint64_t *value)
{
    const char *p = *s;
    uint64_t n = 0;
    for (; *p >= '0' && *p <= '9'; p++) {
        if (n > (UINT64_MAX - 9) / 10)
            return -1;
        n = n * 10 + (uint64_t)(*p - '0');
    }
    if (p == *s)
        return -1;
    *s = p;
    *value = n;
    return 0;
}

/* RFC 9110, 14.1.2: one range of bytes. What is not understood (several ranges too) is ignored. */
static enum range parse_range(const char *s, uint64_t size, uint64_t *first, uint64_t *last)
{
    uint64_t from, to = UINT64_MAX;
    if (!s || strncasecmp(s, "bytes=", 6) != 0)
        return WHOLE;
    s += 6;
    if (*s == '-') {
        s++;
        if (parse_digits(&s, &to) < 0 || *s)
            return WHOLE;
        if (to == 0 || size == 0)
            return UNSATISFIABLE;
        *first = to < size ? size - to : 0;
        *last = size - 1;
        return PARTIAL;
    }
    if (parse_digits(&s, &from) < 0 || *s++ != '-')
        return WHOLE;
    if (*s && (parse_digits(&s, &to) < 0 || *s || to < from))
        return WHOLE;
    if (from >= size)
        return UNSATISFIABLE;
    *first = from;
    *last = to < size ? to : size - 1;
    return PARTIAL;
}

static enum range range_of(const struct request *rq, uint64_t size, const char *etag,
                           uint64_t *first, uint64_t *last)
{
    *first = 0;
    *last = size - 1;
    const char *if_range = request_header(rq, "If-Range");
    if (!rq->sim->sw.ranges || rq->head)
        return WHOLE;
    /* RFC 9110, 13.1.5: a strong comparison, so a weak ETag never fits. */
    if (if_range && (strcmp(if_range, etag) != 0 || strncmp(etag, "W/", 2) == 0))
        return WHOLE;
    return parse_range(request_header(rq, "Range"), size, first, last);
}

/* ---- checksums ------------------------------------------------------------------------------- */

/* What `content` (fresh, at 0) hashes to; 0 or -1. */
static int hashes_of(struct sim *sim, struct content *content, bool md5, bool sha256,
                     struct hashes *out)
{
    struct hash_cache *cache = &sim->hashes;
    size_t slot = content->identity % HASH_CACHE_SLOTS;
    pthread_mutex_lock(&cache->lock);
    bool hit = cache->slots[slot].valid && cache->slots[slot].identity == content->identity &&
               cache->slots[slot].md5 >= md5 && cache->slots[slot].sha256 >= sha256;
    if (hit)
        *out = cache->slots[slot].hashes;
    pthread_mutex_unlock(&cache->lock);
    if (hit)
        return 0;
    if (content_hash(content, md5, sha256, out) < 0)
        return -1;
    pthread_mutex_lock(&cache->lock);
    cache->slots[slot].identity = content->identity;
    cache->slots[slot].valid = true;
    cache->slots[slot].md5 = md5;
    cache->slots[slot].sha256 = sha256;
    cache->slots[slot].hashes = *out;
    pthread_mutex_unlock(&cache->lock);
    return 0;
}

static int add_hashes(struct sim *sim, struct content *content, bool whole,
                      struct MHD_Response *response)
{
    const struct switches *sw = &sim->sw;
    bool md5 = sw->goog_hash >= GOOG_HASH_MD5 || sw->content_md5 || sw->digest == DIGEST_MD5;
    bool sha256 = sw->digest == DIGEST_SHA256;
    if (!md5 && !sha256 && sw->goog_hash == GOOG_HASH_OFF)
        return 0;
    struct hashes hashes;
    if (hashes_of(sim, content, md5, sha256, &hashes) < 0)
        return -1;
    if (sw->hash_lie) {
        hashes.crc32c ^= 1;
        hashes.md5[0] ^= 1;
        hashes.sha256[0] ^= 1;
    }
    char crc_text[CRC32C_TEXT_SIZE], md5_text[25], sha_text[45], value[128];
    crc32c_format(hashes.crc32c, crc_text);
    text_base64(hashes.md5, sizeof(hashes.md5), md5_text);
    text_base64(hashes.sha256, sizeof(hashes.sha256), sha_text);
    if (sw->goog_hash == GOOG_HASH_CRC32C || sw->goog_hash == GOOG_HASH_LINES) {
        snprintf(value, sizeof(value), "crc32c=%s", crc_text);
        MHD_add_response_header(response, "x-goog-hash", value);
    }
    if (sw->goog_hash == GOOG_HASH_MD5 || sw->goog_hash == GOOG_HASH_LINES) {
        snprintf(value, sizeof(value), "md5=%s", md5_text);
        MHD_add_response_header(response, "x-goog-hash", value);
    }
    if (sw->goog_hash == GOOG_HASH_BOTH) {
        snprintf(value, sizeof(value), "crc32c=%s,md5=%s", crc_text, md5_text);
        MHD_add_response_header(response, "x-goog-hash", value);
    }
    /* RFC 1864: of the body sent; RFC 3230's Digest: of the whole, in a 206 too. */
    if (sw->content_md5 && whole)
        MHD_add_response_header(response, "Content-MD5", md5_text);
    if (sw->digest != DIGEST_OFF) {
        snprintf(value, sizeof(value), sha256 ? "sha-256=%s" : "md5=%s",
                 sha256 ? sha_text : md5_text);
        MHD_add_response_header(response, "Digest", value);
    }
    return 0;
}

/* ---- headers --------------------------------------------------------------------------------- */

static const char *type_of(const struct switches *sw, const char *name)
{
    static const char *const types[][2] = {
        {".json", "application/json"}, {".zip", "application/zip"}, {".txt", "text/plain"},
        {".csv", "text/csv"},          {".mp4", "video/mp4"},       {".jpg", "image/jpeg"},
        {".png", "image/png"},
    };
    if (*sw->content_type)
        return strcmp(sw->content_type, "none") == 0 ? NULL : sw->content_type;
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot && i < sizeof(types) / sizeof(types[0]); i++)
        if (strcmp(dot, types[i][0]) == 0)
            return types[i][1];
    return "application/octet-stream";
}

static void add_disposition(const struct switches *sw, const char *name,
                            struct MHD_Response *response)
{
    if (strcmp(sw->content_disposition, "auto") != 0) {
        if (*sw->content_disposition)
            MHD_add_response_header(response, "Content-Disposition", sw->content_disposition);
        return;
    }
    struct buf value = BUF_INIT(8192);
    buf_str_append(&value, "attachment; filename=\"");
    for (; *name; name++) {
        if (*name == '"' || *name == '\\')
            buf_byte(&value, '\\');
        buf_byte(&value, (unsigned char)*name < 0x20 ? '_' : *name);
    }
    buf_byte(&value, '"');
    MHD_add_response_header(response, "Content-Disposition", buf_str(&value));
    buf_release(&value);
}

static void add_headers(const struct sim *sim, const struct view *view, const struct body *body,
                        const char *etag, struct MHD_Response *response)
{
    const char *name = job_filename(&sim->sw, &view->job);
    const char *type = type_of(&sim->sw, name);
    if (type)
        MHD_add_response_header(response, "Content-Type", type);
    add_disposition(&sim->sw, name, response);
    MHD_add_response_header(response, "Accept-Ranges", sim->sw.ranges ? "bytes" : "none");
    if (*etag)
        MHD_add_response_header(response, "ETag", etag);
    if (body->content.gzip)
        MHD_add_response_header(response, "Content-Encoding", "gzip");
}

static bool wants_gzip(const struct request *rq)
{
    const char *accepted = request_header(rq, "Accept-Encoding");
    return rq->sim->sw.gzip == GZIP_ALWAYS ||
           (rq->sim->sw.gzip == GZIP_ACCEPT && accepted && strstr(accepted, "gzip"));
}

static int open_content(struct request *rq, const struct view *view, struct content *content,
                        struct err *err)
{
    const struct job *job = &view->job;
    bool gzip = wants_gzip(rq);
    if (job->extra && job->extra->path) {
        if (content_open_file(content, job->extra->path, gzip, err) < 0)
            return -1;
    } else {
        unsigned version = job->version;
        if (rq->fault && rq->fault->kind == FAULT_CHANGED) {
            version = jobs_change_output(rq->sim->jobs, view->index);
            fault_happened(rq);
        }
        uint64_t key = content_key(job->id, jobs_seed(rq->sim->jobs));
        content_open_generated(content, content_key_version(key, version), job->size, gzip);
    }
    content->stop = &rq->sim->stopping;
    return 0;
}

static uint64_t cut_after(struct request *rq, const struct view *view)
{
    const struct switches *sw = &rq->sim->sw;
    if (rq->head || sw->body_cut < 0)
        return UINT64_MAX;
    unsigned before = jobs_count_download(rq->sim->jobs, view->index);
    bool cuts = sw->body_cut_times == 0 || before < sw->body_cut_times;
    return cuts ? (uint64_t)sw->body_cut : UINT64_MAX;
}

static enum MHD_Result unsatisfiable(struct request *rq, struct body *body)
{
    char value[64];
    snprintf(value, sizeof(value), "bytes */%llu", (unsigned long long)body->content.size);
    free_body(body);
    struct MHD_Response *response =
        MHD_create_response_from_buffer(0, (void *)(uintptr_t) "", MHD_RESPMEM_PERSISTENT);
    if (response)
        MHD_add_response_header(response, "Content-Range", value);
    return respond(rq, MHD_HTTP_RANGE_NOT_SATISFIABLE, response);
}

enum MHD_Result output_respond(struct request *rq, const struct view *view)
{
    struct sim *sim = rq->sim;
    struct err err = {0};
    struct body *body = xcalloc(1, sizeof(*body));
    body->sim = sim;
    if (open_content(rq, view, &body->content, &err) < 0) {
        free(body);
        return respond_error(rq, 500, "%s", err.msg);
    }
    uint64_t size = body->content.size, first, last;
    char etag[32] = "";
    if (sim->sw.etag != ETAG_NONE)
        snprintf(etag, sizeof(etag), "%s\"%016llx\"", sim->sw.etag == ETAG_WEAK ? "W/" : "",
                 (unsigned long long)body->content.identity);
    enum range range = range_of(rq, size, etag, &first, &last);
    if (range == UNSATISFIABLE)
        return unsatisfiable(rq, body);

    body->left = range == PARTIAL ? last - first + 1 : size;
    struct shape shape = SHAPE_PLAIN;
    uint64_t cut_at = cut_after(rq, view);
    shape.cut_at = cut_at < body->left ? cut_at : UINT64_MAX;
    shape.rate = sim->sw.body_rate;
    body_apply_fault(rq, body->left, &shape);
    uint64_t declared = sim->sw.framing == FRAMING_CHUNKED ? MHD_SIZE_UNKNOWN : body->left;
    size_t block = body->left < BLOCK ? (size_t)body->left + 1 : BLOCK;
    struct MHD_Response *response =
        body_response(rq, &shape, declared, block, read_body, body, free_body);
    if (!response) {
        free_body(body);
        return MHD_NO;
    }
    add_headers(sim, view, body, etag, response);
    if (add_hashes(sim, &body->content, range == WHOLE, response) < 0 ||
        content_seek(&body->content, first) < 0) {
        MHD_destroy_response(response);
        return respond_error(rq, 500, "The output cannot be read");
    }
    if (range == PARTIAL) {
        char value[96];
        snprintf(value, sizeof(value), "bytes %llu-%llu/%llu", (unsigned long long)first,
                 (unsigned long long)last, (unsigned long long)size);
        MHD_add_response_header(response, "Content-Range", value);
    }
    return respond(rq, range == PARTIAL ? 206 : 200, response);
}
