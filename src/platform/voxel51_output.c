/* SPDX-License-Identifier: Apache-2.0
 *
 * voxel51_output: the bytes of an output. A stream is one request for them, with one for a signed
 * URL before it where that is the route:
 *
 *     open -> [STEP_ASK_URL ->] STEP_FETCH -> on_open -> on_data... -> on_end
 *
 * What the first attempt may be replaced by, each once and only before on_open: a signed URL that
 * is refused by a fresh one; on route AUTO any failure of the signed URL by /output; an answer that
 * cannot go on where we stopped by one from byte 0.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/clock.h"
#include "core/mem.h"
#include "net/url.h"
#include "platform/voxel51_parse.h"
#include "platform/voxel51_private.h"

enum { URL_ANSWER_MAX_BYTES = 64 * 1024 };

struct source_stream {
    struct voxel51 *v;
    const struct source_job *job; /* borrowed until on_end */
    size_t index;                 /* of the output */
    struct source_events events;
    void *arg;

    struct http_call *call; /* the request under way: there always is one */
    bool by_signed_url;     /* the route */
    bool at_signed_url;     /* the request under way is for the bytes, at the signed URL */
    uint64_t offset, len;   /* asked for; len 0: to the end */
    char *validator;        /* owned; NULL: the whole is asked for */
    bool refreshed;         /* a fresh signed URL has been tried */
    bool from_zero;         /* the answer cannot go on: ask again from byte 0 */
    bool cancelled;

    /* What was told to on_open: net may repeat an attempt that broke before its first byte. */
    bool opened;
    uint64_t opened_at;
    int64_t opened_size;
    char *opened_validator; /* owned; or NULL */
};

static void end_stream(struct source_stream *s, const struct err *err)
{
    struct source_events events = s->events;
    void *arg = s->arg;
    s->v->n_streams--;
    free(s->validator);
    free(s->opened_validator);
    free(s);
    events.on_end(arg, err);
}

/* ---- the answer's head ---- */

static void collect_hashes(const struct http_response *rsp, bool whole, struct voxel51_hashes *h)
{
    static const char *const lists[] = {"Digest", "Repr-Digest", "Content-Digest"};
    const char *value = http_response_header(rsp, "x-goog-hash");
    const char *stored = http_response_header(rsp, "x-goog-stored-content-encoding");
    const char *sent = http_response_header(rsp, "Content-Encoding");
    /* Google's hash is of the object as it is stored, which it may unpack on the way. */
    if (value &&
        (!stored || strcmp(stored, "identity") == 0 || (sent && strcmp(stored, sent) == 0)))
        voxel51_add_hashes(h, value);
    if (!whole) /* servers disagree whether the others are then of the part */
        return;
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
        if ((value = http_response_header(rsp, lists[i])))
            voxel51_add_hashes(h, value);
    if ((value = http_response_header(rsp, "Content-MD5")))
        voxel51_add_hash(h, "md5", 3, value, strlen(value));
}

/* Whether a 206 holds bytes that were asked for, from the first of them on. */
static bool range_fits(const struct source_stream *s, const struct http_response *rsp,
                       const struct voxel51_range *range)
{
    return (uint64_t)range->first == s->offset &&
           (s->len == 0 || (uint64_t)range->last - s->offset < s->len) &&
           (rsp->content_length < 0 || rsp->content_length == range->last - range->first + 1);
}

/* A 206: is it what was asked for, of the same output? */
static int check_partial(struct source_stream *s, const struct http_response *rsp,
                         struct source_meta *meta, struct err *err)
{
    const char *value = http_response_header(rsp, "Content-Range");
    const char *etag = http_response_header(rsp, "ETag");
    struct voxel51_range range;
    if (!s->validator)
        return err_set(err, ERR_PROTOCOL,
                       "the output came with 206 although no range was asked for");
    if (!value || voxel51_parse_range(value, &range) < 0 || !range_fits(s, rsp, &range))
        return err_set(err, ERR_PROTOCOL,
                       "the output came with a Content-Range that does not fit; asked for bytes "
                       "from %" PRIu64 " on",
                       s->offset);
    /* Who sends no ETag cannot have compared it with If-Range either. */
    if (!etag || strcmp(etag, s->validator) != 0) {
        s->from_zero = true;
        return err_set(err, ERR_PROTOCOL, "the output has changed since it was begun");
    }
    meta->offset = s->offset;
    meta->size = range.total;
    meta->ranges = true;
    return 0;
}

static int check_head(struct source_stream *s, const struct http_response *rsp,
                      struct source_meta *meta, struct err *err)
{
    if (rsp->status == 206)
        return check_partial(s, rsp, meta, err);
    if (rsp->status == 204)
        return err_set(err, ERR_JOB_NO_OUTPUT, "there is no output (204)");
    if (rsp->status != 200)
        return err_set(err, ERR_PROTOCOL, "the output came with the unexpected status %d",
                       rsp->status);
    /* The storage may know the same output by another ETag than /output does, which can go on. */
    if (s->validator && s->by_signed_url && s->v->route == VOXEL51_AUTO)
        return err_set(err, ERR_PROTOCOL, "the storage does not go on where the output broke off");
    const char *ranges = http_response_header(rsp, "Accept-Ranges");
    meta->size = rsp->content_length;
    meta->ranges = ranges && strcmp(ranges, "bytes") == 0;
    return 0;
}

/* No length, no chunks, no checksum: the end of such an output is that of the connection, however
 * that came about. */
static bool end_is_known(const struct http_response *rsp, const struct voxel51_hashes *hashes)
{
    return rsp->content_length >= 0 || http_response_header(rsp, "Transfer-Encoding") ||
           *hashes->crc32c || *hashes->md5 || *hashes->sha256;
}

/* What proxies and login pages say with a 200 in place of an output. Who stores outputs knows an
 * ETag or a checksum of them. */
static bool is_page(const struct source_stream *s, const struct http_response *rsp,
                    const struct voxel51_hashes *hashes)
{
    const char *type = http_response_header(rsp, "Content-Type");
    const char *ending = strrchr(s->job->outputs[s->index].name, '.');
    return type && strncasecmp(type, "text/html", 9) == 0 &&
           !(ending && strncasecmp(ending, ".htm", 4) == 0) && !http_response_header(rsp, "ETag") &&
           !*hashes->crc32c && !*hashes->md5 && !*hashes->sha256;
}

/* Whether the head of a whole output can be believed. */
static int check_whole(const struct source_stream *s, const struct http_response *rsp,
                       const struct voxel51_hashes *hashes, struct err *err)
{
    if (is_page(s, rsp, hashes))
        return err_set(err, ERR_PROTOCOL,
                       "an HTML page came in place of the output; is there a proxy or a login in "
                       "between?");
    if (!end_is_known(rsp, hashes))
        return err_set(err, ERR_PROTOCOL,
                       "the output came without a length, chunks or a checksum, so that a broken "
                       "connection would pass for its end");
    return 0;
}

/* A second head on one stream: fine if it says the same, as not a byte has been handed over. */
static int compare_heads(const struct source_stream *s, const struct source_meta *meta,
                         struct err *err)
{
    const char *a = s->opened_validator, *b = meta->validator;
    bool same = (a && b) ? strcmp(a, b) == 0 : a == b;
    if (same && s->opened_at == meta->offset && s->opened_size == meta->size)
        return 0;
    return err_set(err, ERR_PROTOCOL, "the output changed between two attempts");
}

static int on_head(void *arg, const struct http_response *rsp, struct err *err)
{
    struct source_stream *s = arg;
    struct voxel51_hashes hashes = {0};
    struct source_meta meta = {
        .size = -1,
        .content_type = voxel51_clean_value(http_response_header(rsp, "Content-Type")),
        .content_encoding = voxel51_clean_value(http_response_header(rsp, "Content-Encoding")),
        .validator = voxel51_strong_etag(http_response_header(rsp, "ETag")),
    };
    if (check_head(s, rsp, &meta, err) < 0)
        return -1;
    if (s->opened)
        return compare_heads(s, &meta, err);
    collect_hashes(rsp, rsp->status == 200, &hashes);
    if (hashes.contradictory)
        return err_set(err, ERR_INTEGRITY, "the answer's checksum headers contradict each other");
    if (rsp->status == 200 && check_whole(s, rsp, &hashes, err) < 0)
        return -1;
    meta.crc32c = *hashes.crc32c ? hashes.crc32c : NULL;
    meta.md5 = *hashes.md5 ? hashes.md5 : NULL;
    meta.sha256 = *hashes.sha256 ? hashes.sha256 : NULL;
    s->opened = true;
    s->opened_at = meta.offset;
    s->opened_size = meta.size;
    s->opened_validator = xstrdup(meta.validator);
    return s->events.on_open(s->arg, &meta, err);
}

static size_t on_data(void *arg, const void *data, size_t len)
{
    _Static_assert(SOURCE_PAUSE == HTTP_PAUSE, "pausing means the same on both sides");
    struct source_stream *s = arg;
    return s->events.on_data(s->arg, data, len);
}

static void *room(void *arg, size_t *len)
{
    struct source_stream *s = arg;
    return s->events.room ? s->events.room(s->arg, len) : NULL;
}

/* ---- requests ---- */

static void on_fetch_done(void *arg, const struct http_response *rsp, const struct err *err);
static void on_url_done(void *arg, const struct http_response *rsp, const struct err *err);

/* Of the signed URL, which is not the Platform's, nothing of the Platform's is sent along. */
static void fetch(struct source_stream *s, const char *url)
{
    char range[64], last[24] = "";
    struct http_header headers[4];
    struct http_request rq = {
        .method = "GET",
        .url = url,
        .headers = headers,
        /* To go on after a break is tried again by whoever asked, who knows how often it broke. */
        .flags = HTTP_FOLLOW | (s->validator ? HTTP_NO_RETRY : 0),
    };
    headers[rq.n_headers++] = (struct http_header){"Accept-Encoding", "identity", false};
    s->at_signed_url = s->by_signed_url;
    if (!s->by_signed_url)
        headers[rq.n_headers++] = voxel51_auth_header(s->v);
    else if (!s->v->base_is_local)
        rq.flags |= HTTP_PUBLIC_ONLY;
    if (s->validator) {
        if (s->len > 0)
            snprintf(last, sizeof(last), "%" PRIu64, s->offset + s->len - 1);
        snprintf(range, sizeof(range), "bytes=%" PRIu64 "-%s", s->offset, last);
        headers[rq.n_headers++] = (struct http_header){"Range", range, false};
        headers[rq.n_headers++] = (struct http_header){"If-Range", s->validator, false};
    }
    struct http_events events = {
        .on_head = on_head, .on_data = on_data, .room = room, .on_done = on_fetch_done};
    s->call = http_start(s->v->loop, &rq, &events, s);
}

static void ask_url(struct source_stream *s)
{
    s->at_signed_url = false;
    char *url = voxel51_job_url(s->v, s->job->id, "/output-url");
    struct http_header auth = voxel51_auth_header(s->v);
    struct http_request rq = {
        .method = "GET",
        .url = url,
        .headers = &auth,
        .n_headers = 1,
        .max_body = URL_ANSWER_MAX_BYTES,
        .timeout_ms = VOXEL51_ANSWER_MS,
        .flags = HTTP_FOLLOW,
    };
    s->call = http_start(s->v->loop, &rq, &(struct http_events){.on_done = on_url_done}, s);
    free(url);
}

static void start(struct source_stream *s)
{
    if (s->by_signed_url) {
        ask_url(s);
        return;
    }
    char *url = voxel51_job_url(s->v, s->job->id, "/output");
    fetch(s, url);
    free(url);
}

/* ---- failures ---- */

/* Whether a storage refused, rather than the Platform: what it refused is a signed URL. */
static bool from_elsewhere(const struct source_stream *s, const struct http_response *rsp)
{
    struct url base = {0}, last = {0};
    struct err ignored = {0};
    bool elsewhere = s->at_signed_url || url_parse(s->v->base_url, &base, &ignored) < 0 ||
                     url_parse(rsp->url, &last, &ignored) < 0 || !url_same_origin(&base, &last);
    url_release(&base);
    url_release(&last);
    return elsewhere;
}

/* A 4xx on the output of a job whose details say COMPLETE and not expired. */
static void set_refused(struct err *err, const struct source_stream *s, int status,
                        const char *words, bool elsewhere)
{
    const struct source_job *job = s->job;
    if (job->expired || (job->expires_ms != 0 && job->expires_ms <= clock_wall_ms()))
        err_set(err, ERR_JOB_EXPIRED, "the output has expired (%d%s)", status, words);
    else if (status == 403 && elsewhere)
        /* It has run out, and so has a fresh one: that passes. */
        err_set(err, ERR_PROTOCOL, "the storage behind the signed URL refused it (403)");
    else if (status == 403)
        err_set(err, ERR_AUTH,
                "the Platform refused the output (403%s); check whose job and token it is", words);
    else
        err_set(err, ERR_JOB_NO_OUTPUT, "there is no output (%d%s)", status, words);
    err->http_status = status;
}

/* The end for good: what went wrong in words, told. */
static void fail(struct source_stream *s, const struct http_response *rsp, const struct err *cause)
{
    struct err err = {0};
    char words[VOXEL51_WORDS_SIZE];
    bool envelope;
    /* A storage's 401 says nothing about the token, which it has not seen. */
    bool elsewhere = rsp && from_elsewhere(s, rsp);
    struct err told = *cause;
    if (elsewhere && told.http_status == 401)
        told.http_status = 403;
    if (s->at_signed_url && told.code == ERR_PROTOCOL)
        err_prefix(&told, "the signed URL that the Platform gave");
    if (!voxel51_common_error(rsp, &told, words, &envelope, &err))
        set_refused(&err, s, told.http_status, words, elsewhere);
    end_stream(s, &err);
}

/* Something else to try instead of failing; true when that has been started. */
static bool try_another_way(struct source_stream *s, const struct http_response *rsp,
                            const struct err *cause)
{
    int status = cause->code == ERR_HTTP ? cause->http_status : 0;
    if (s->opened || s->cancelled || cause->code == ERR_CANCELLED)
        return false;
    if (s->by_signed_url && s->v->route == VOXEL51_AUTO) {
        s->by_signed_url = false;
    } else if (s->validator && (s->from_zero || status == 416)) {
        free(s->validator);
        s->validator = NULL;
        s->offset = s->len = 0;
    } else if (status == 403 && rsp && from_elsewhere(s, rsp) && !s->refreshed) {
        s->refreshed = true;
    } else {
        return false;
    }
    s->from_zero = false;
    start(s);
    return true;
}

static void on_fetch_done(void *arg, const struct http_response *rsp, const struct err *err)
{
    struct source_stream *s = arg;
    CHECK(err || s->opened);
    if (!err)
        end_stream(s, NULL);
    else if (!try_another_way(s, rsp, err))
        fail(s, rsp, err);
}

/* The rules for redirects hold for a URL that comes in an answer's body, too; where it leads to is
 * judged when that is known (HTTP_PUBLIC_ONLY). Never quoted: it is a secret as long as it lasts.
 */
static int check_signed_url(const struct source_stream *s, const char *text, struct err *err)
{
    struct url url = {0};
    struct err ignored = {0};
    const char *wrong = NULL;
    if (!text || url_parse(text, &url, &ignored) < 0)
        wrong = "it is no http(s) URL";
    else if (s->v->base_is_https && strcmp(url.scheme, "https") != 0)
        wrong = "it is not https, as the Platform is";
    url_release(&url);
    if (wrong)
        return err_set(err, ERR_PROTOCOL, "the signed URL that the Platform gave is refused: %s",
                       wrong);
    return 0;
}

static void on_url_done(void *arg, const struct http_response *rsp, const struct err *err)
{
    struct source_stream *s = arg;
    struct err why = {0};
    char *url = err ? NULL : voxel51_parse_url(rsp->body, rsp->body_len);
    if (!err && s->cancelled)
        err_set(&why, ERR_CANCELLED, "cancelled");
    else if (err)
        why = *err;
    else if (rsp->status == 204)
        err_set(&why, ERR_JOB_NO_OUTPUT, "there is no output (204)");
    else if (check_signed_url(s, url, &why) == 0)
        fetch(s, url);
    free(url);
    if (why.code != ERR_NONE && !try_another_way(s, rsp, &why))
        fail(s, rsp, &why);
}

/* ---- the seam ---- */

struct source_stream *voxel51_open(struct source *source, const struct source_job *job,
                                   size_t index, const struct source_range *range,
                                   const struct source_events *events, void *arg)
{
    struct voxel51 *v = (struct voxel51 *)source;
    bool whole = range->offset == 0 && range->len == 0;
    CHECK(index < job->n_outputs && (whole || range->validator));
    struct source_stream *s = xcalloc(1, sizeof(*s));
    s->v = v;
    s->job = job;
    s->index = index;
    s->events = *events;
    s->arg = arg;
    s->offset = range->offset;
    s->len = range->len;
    s->validator = whole ? NULL : xstrdup(range->validator);
    /* A part by itself is asked for where the first byte came from, which has not broken. */
    s->by_signed_url = v->route == VOXEL51_OUTPUT_URL ||
                       (v->route == VOXEL51_AUTO && range->offset > 0 && range->len == 0);
    v->n_streams++;
    start(s);
    return s;
}

void voxel51_resume(struct source_stream *s)
{
    http_resume(s->call);
}

void voxel51_cancel(struct source_stream *s)
{
    if (s->cancelled)
        return;
    s->cancelled = true;
    http_cancel(s->call);
}
