/* SPDX-License-Identifier: Apache-2.0
 *
 * The sink: S3 that keeps nothing. GET /_stats tells how many requests there were and how many
 * bytes they brought since it was last asked; with --check, too, the key, size and CRC32C of every
 * object that was stored.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>

#include "core/buf.h"
#include "core/crc32c.h"
#include "ends.h"

enum { PARTS_MAX = 10000, STATS_MAX = 4 * 1024 * 1024, READ_CHUNK = 256 * 1024 };

static atomic_uint_fast64_t total_requests, total_bytes, last_upload;

static const char xml_type[] = "Content-Type: application/xml\r\n";

struct sum { /* of bytes in a row */
    uint64_t len;
    uint32_t crc32c;
};

/* ---- --check: what was stored ---- */

struct object {
    struct object *next;
    char key[TARGET_MAX];
    uint64_t upload;   /* 0: put whole */
    struct sum *parts; /* owned; by number less 1; NULL when put whole */
    bool done;
    struct sum whole;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct object *objects;

static struct object *new_object(const struct conn *c, uint64_t upload)
{
    struct object *o = calloc(1, sizeof(*o));
    if (!o)
        abort();
    snprintf(o->key, sizeof(o->key), "%.*s", (int)strcspn(c->target + 1, "?"), c->target + 1);
    o->upload = upload;
    if (upload && !(o->parts = calloc(PARTS_MAX, sizeof(*o->parts))))
        abort();
    o->next = objects;
    objects = o;
    return o;
}

static uint64_t number_in(const char *query, const char *name)
{
    const char *at = strstr(query, name);
    return at ? strtoull(at + strlen(name), NULL, 10) : 0;
}

static void note_put(const struct conn *c, struct sum sum)
{
    uint64_t number = number_in(c->query, "partNumber=");
    uint64_t upload = number_in(c->query, "uploadId=ends-");
    pthread_mutex_lock(&lock);
    if (number == 0) {
        struct object *o = new_object(c, 0);
        o->done = true;
        o->whole = sum;
    }
    for (struct object *o = objects; o && number > 0; o = o->next)
        if (o->parts && o->upload == upload && number <= PARTS_MAX)
            o->parts[number - 1] = sum;
    pthread_mutex_unlock(&lock);
}

static void note_complete(const struct conn *c)
{
    uint64_t upload = number_in(c->query, "uploadId=ends-");
    pthread_mutex_lock(&lock);
    for (struct object *o = objects; o; o = o->next) {
        if (!o->parts || o->upload != upload)
            continue;
        o->whole = (struct sum){0};
        for (int i = 0; i < PARTS_MAX && o->parts[i].len; i++) {
            struct sum part = o->parts[i];
            o->whole.crc32c = crc32c_combine(o->whole.crc32c, part.crc32c, part.len);
            o->whole.len += part.len;
        }
        o->done = true;
    }
    pthread_mutex_unlock(&lock);
}

static int answer_stats(struct conn *c)
{
    struct buf text = BUF_INIT(STATS_MAX);
    buf_printf(&text, "{\"requests\":%" PRIuFAST64 ",\"bytes\":%" PRIuFAST64 ",\"objects\":[",
               atomic_exchange(&total_requests, 0), atomic_exchange(&total_bytes, 0));
    pthread_mutex_lock(&lock);
    const char *comma = "";
    while (objects) {
        struct object *o = objects;
        objects = o->next;
        if (o->done) {
            buf_printf(&text,
                       "%s{\"key\":\"%s\",\"size\":%" PRIu64 ",\"crc32c\":\"%08" PRIx32 "\"}",
                       comma, o->key, o->whole.len, o->whole.crc32c);
            comma = ",";
        }
        free(o->parts);
        free(o);
    }
    pthread_mutex_unlock(&lock);
    buf_str_append(&text, "]}\n");
    int rc = buf_overflowed(&text)
                 ? -1
                 : conn_answer(c, "200 OK", "Content-Type: application/json\r\n", buf_str(&text));
    buf_release(&text);
    return rc;
}

/* ---- bodies ---- */

/* S3's own chunks: a line with the length in hex, the bytes, an empty line; 0 is the last. */
struct unchunk {
    enum { LENGTH_LINE, BYTES, BYTES_END, TRAILER } state;
    char line[128];
    size_t line_len;
    uint64_t left;
};

static void sum_bytes(struct sum *sum, const char *data, size_t len)
{
    sum->crc32c = crc32c(sum->crc32c, data, len);
    sum->len += len;
}

static void end_line(struct unchunk *u)
{
    u->line[u->line_len] = '\0';
    u->line_len = 0;
    if (u->state == LENGTH_LINE) {
        u->left = strtoull(u->line, NULL, 16);
        u->state = u->left ? BYTES : TRAILER;
    } else if (u->state == BYTES_END) {
        u->state = LENGTH_LINE;
    }
}

static void sum_chunks(struct unchunk *u, struct sum *sum, const char *data, size_t len)
{
    while (len > 0) {
        if (u->state == BYTES) {
            size_t n = u->left < len ? (size_t)u->left : len;
            sum_bytes(sum, data, n);
            data += n;
            len -= n;
            u->left -= n;
            if (u->left == 0)
                u->state = BYTES_END;
            continue;
        }
        if (*data == '\n')
            end_line(u);
        else if (u->line_len < sizeof(u->line) - 1)
            u->line[u->line_len++] = *data;
        data++;
        len--;
    }
}

static int take_body(const struct options *options, struct conn *c, struct sum *sum)
{
    static _Thread_local char chunk[READ_CHUNK];
    struct unchunk u = {.state = LENGTH_LINE};
    long n;
    while ((n = conn_take(c, options->check ? chunk : NULL,
                          options->check ? READ_CHUNK : SIZE_MAX)) > 0) {
        if (!options->check)
            continue;
        if (c->aws_chunked)
            sum_chunks(&u, sum, chunk, (size_t)n);
        else
            sum_bytes(sum, chunk, (size_t)n);
    }
    return (int)n;
}

/* ---- answers ---- */

static int answer_begun(const struct options *options, struct conn *c)
{
    char text[256];
    uint64_t upload = atomic_fetch_add(&last_upload, 1) + 1;
    if (options->check) {
        pthread_mutex_lock(&lock);
        new_object(c, upload);
        pthread_mutex_unlock(&lock);
    }
    snprintf(text, sizeof(text),
             "<InitiateMultipartUploadResult><Bucket>b</Bucket><Key>k</Key>"
             "<UploadId>ends-%" PRIu64 "</UploadId></InitiateMultipartUploadResult>",
             upload);
    return conn_answer(c, "200 OK", xml_type, text);
}

static int answer_completed(const struct options *options, struct conn *c)
{
    if (options->check)
        note_complete(c);
    return conn_answer(c, "200 OK", xml_type,
                       "<CompleteMultipartUploadResult><Bucket>b</Bucket><Key>k</Key>"
                       "<ETag>\"0123456789abcdef0123456789abcdef-1\"</ETag>"
                       "</CompleteMultipartUploadResult>");
}

static int answer_missing(struct conn *c)
{
    bool head = strcmp(c->method, "HEAD") == 0;
    return conn_answer(c, "404 Not Found", xml_type,
                       head ? ""
                            : "<Error><Code>NoSuchKey</Code><Message>nothing is kept</Message>"
                              "</Error>");
}

int sink_serve(const struct options *options, struct conn *c)
{
    bool put = strcmp(c->method, "PUT") == 0, post = strcmp(c->method, "POST") == 0;
    struct sum sum = {0};
    uint64_t len = c->body_left;
    if (take_body(options, c, &sum) < 0)
        return -1;
    if (strcmp(c->target, "/_stats") == 0)
        return answer_stats(c);
    atomic_fetch_add(&total_requests, 1);
    atomic_fetch_add(&total_bytes, len);
    if (put || post)
        sleep_ms(options->latency_ms);
    if (put && options->check)
        note_put(c, sum);
    if (put)
        return conn_answer(c, "200 OK", "ETag: \"0123456789abcdef0123456789abcdef\"\r\n", "");
    if (post && strncmp(c->query, "uploads", 7) == 0)
        return answer_begun(options, c);
    if (post && strstr(c->query, "uploadId="))
        return answer_completed(options, c);
    if (strcmp(c->method, "DELETE") == 0)
        return conn_answer(c, "204 No Content", "", "");
    if (strcmp(c->method, "GET") == 0 && strstr(c->query, "list-type=2"))
        return conn_answer(c, "200 OK", xml_type,
                           "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>");
    return answer_missing(c);
}
