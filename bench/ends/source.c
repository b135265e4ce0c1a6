/* SPDX-License-Identifier: Apache-2.0
 *
 * The source: as much of the Platform as egress asks for. Job ids are what the client says they
 * are; every output has the same bytes: a pattern that lies in shared memory, over and over. Its
 * length is no multiple of any part's, so that parts which change places do not go unnoticed.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/clock.h"
#include "core/crc32c.h"
#include "ends.h"

#define PATTERN_BYTES ((off_t)61 * 1024 * 1024 + 4099)
#define ETAG          "\"5b1c-of-the-bench\""

enum {
    IDS_MAX_BYTES = 64 * 1024,
    TEXT_MAX = 1024 * 1024,
    SLICE_MS = 10,              /* of a connection with a rate */
    SEND_MAX = 8 * 1024 * 1024, /* of one sendfile() */
};

static atomic_uint_fast64_t total_requests;

static const char json_type[] = "Content-Type: application/json\r\n";

static struct {
    int fd;
    const char *bytes;
} pattern;

int source_begin(const struct options *options)
{
    (void)options;
    char name[64];
    snprintf(name, sizeof(name), "/egress-bench-%ld", (long)getpid());
    pattern.fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
    if (pattern.fd < 0 || shm_unlink(name) < 0 || ftruncate(pattern.fd, PATTERN_BYTES) < 0) {
        perror("ends: shared memory for the outputs");
        return -1;
    }
    char *bytes =
        mmap(NULL, (size_t)PATTERN_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, pattern.fd, 0);
    if (bytes == MAP_FAILED) {
        perror("ends: shared memory for the outputs");
        return -1;
    }
    uint64_t x = 88172645463325252; /* xorshift64, G. Marsaglia */
    for (off_t i = 0; i < PATTERN_BYTES; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        bytes[i] = (char)(x >> 32);
    }
    pattern.bytes = bytes;
    return 0;
}

/* ---- details ---- */

static void add_job(struct buf *b, const char *id, size_t len)
{
    buf_printf(b,
               "{\"id\":\"%.*s\",\"name\":\"bench\",\"state\":\"COMPLETE\",\"archived\":false,"
               "\"upload_date\":\"2026-01-20T15:00:00.000Z\",\"expired\":false,"
               "\"expiration_date\":\"2099-01-20T15:00:00.000Z\",\"failure_type\":\"NONE\","
               "\"completion_date\":\"2026-01-20T15:09:42.000Z\",\"output_filename\":\"out.bin\"}",
               (int)len, id);
}

static int answer_text(struct conn *c, const char *type, struct buf *text)
{
    int rc = buf_overflowed(text) ? -1 : conn_answer(c, "200 OK", type, buf_str(text));
    buf_release(text);
    return rc;
}

/* Every string that follows "ids". */
static int answer_batch(struct conn *c)
{
    char *body = calloc(1, IDS_MAX_BYTES + 1);
    size_t filled = 0;
    long n = 0;
    while (body && (n = conn_take(c, body + filled, IDS_MAX_BYTES - filled)) > 0)
        filled += (size_t)n;
    if (!body || n < 0 || c->body_left > 0) {
        free(body);
        return -1;
    }
    struct buf text = BUF_INIT(TEXT_MAX);
    buf_str_append(&text, "{\"responses\":{");
    const char *id = strstr(body, "\"ids\":[");
    const char *comma = "";
    for (id = id ? strchr(id + 6, '"') : NULL; id; id = strchr(id, '"')) {
        size_t len = strcspn(++id, "\"");
        buf_printf(&text, "%s\"%.*s\":{\"success\":true,\"response\":", comma, (int)len, id);
        add_job(&text, id, len);
        buf_byte(&text, '}');
        id += len + (id[len] != '\0');
        comma = ",";
    }
    buf_str_append(&text, "}}");
    free(body);
    return answer_text(c, json_type, &text);
}

static int answer_job(struct conn *c, const char *id)
{
    struct buf text = BUF_INIT(TEXT_MAX);
    buf_str_append(&text, "{\"job\":");
    add_job(&text, id, strcspn(id, "/?"));
    buf_byte(&text, '}');
    return answer_text(c, json_type, &text);
}

/* A folder as web servers show one, for clients that know no Platform. */
static int answer_folder(const struct options *options, struct conn *c)
{
    struct buf text = BUF_INIT(TEXT_MAX);
    buf_str_append(&text, "<html><body>\n");
    for (int64_t i = 0; i < options->jobs; i++)
        buf_printf(&text, "<a href=\"job-%06" PRId64 ".bin\">job</a>\n", i);
    buf_str_append(&text, "</body></html>\n");
    return answer_text(c, "Content-Type: text/html\r\n", &text);
}

static int answer_crc32c(const struct options *options, struct conn *c)
{
    char text[96];
    uint32_t crc = 0;
    for (uint64_t at = 0; at < options->size;) {
        uint64_t len = options->size - at;
        if (len > (uint64_t)PATTERN_BYTES)
            len = (uint64_t)PATTERN_BYTES;
        crc = crc32c(crc, pattern.bytes, (size_t)len);
        at += len;
    }
    snprintf(text, sizeof(text), "{\"size\":%" PRIu64 ",\"crc32c\":\"%08" PRIx32 "\"}\n",
             options->size, crc);
    return conn_answer(c, "200 OK", json_type, text);
}

static int answer_stats(struct conn *c)
{
    char text[64];
    snprintf(text, sizeof(text), "{\"requests\":%" PRIuFAST64 "}\n",
             atomic_exchange(&total_requests, 0));
    return conn_answer(c, "200 OK", json_type, text);
}

/* ---- outputs ---- */

static int send_bytes(const struct options *options, struct conn *c, uint64_t at, uint64_t len)
{
    uint64_t slice = options->rate ? options->rate * SLICE_MS / 1000 + 1 : SEND_MAX;
    int64_t began_ms = clock_mono_ms();
    for (uint64_t sent = 0; sent < len;) {
        off_t offset = (off_t)((at + sent) % (uint64_t)PATTERN_BYTES);
        uint64_t n = len - sent < slice ? len - sent : slice;
        if (n > (uint64_t)(PATTERN_BYTES - offset))
            n = (uint64_t)(PATTERN_BYTES - offset);
        ssize_t got = sendfile(c->fd, pattern.fd, &offset, (size_t)n);
        if (got <= 0)
            return -1;
        sent += (uint64_t)got;
        if (options->rate)
            sleep_ms(began_ms + (int64_t)(sent * 1000 / options->rate) - clock_mono_ms());
    }
    return 0;
}

static int answer_output(const struct options *options, struct conn *c)
{
    char head[512], part[128] = "";
    uint64_t first = 0, last = options->size - 1;
    int n = sscanf(c->range, "bytes=%" SCNu64 "-%" SCNu64, &first, &last);
    bool ranged = n >= 1 && (!*c->if_range || strcmp(c->if_range, ETAG) == 0);
    if (!ranged) {
        first = 0;
        last = options->size - 1;
    }
    if (last >= options->size)
        last = options->size - 1;
    if (options->size == 0 || first > last)
        return conn_answer(c, "416 Range Not Satisfiable", "", "");
    if (ranged)
        snprintf(part, sizeof(part), "Content-Range: bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64 "\r\n",
                 first, last, options->size);
    snprintf(head, sizeof(head),
             "HTTP/1.1 %s\r\nContent-Type: application/octet-stream\r\nAccept-Ranges: bytes\r\n"
             "Last-Modified: Tue, 20 Jan 2026 15:09:42 GMT\r\nETag: " ETAG "\r\n%s"
             "Content-Length: %" PRIu64 "\r\n\r\n",
             ranged ? "206 Partial Content" : "200 OK", part, last - first + 1);
    if (conn_send(c, head, strlen(head)) < 0)
        return -1;
    return strcmp(c->method, "HEAD") == 0 ? 0 : send_bytes(options, c, first, last - first + 1);
}

int source_serve(const struct options *options, struct conn *c)
{
    static const char jobs[] = "/v1/jobs/", files[] = "/files/";
    const char *path = c->target;
    if (strcmp(path, "/_crc32c") == 0)
        return answer_crc32c(options, c);
    if (strcmp(path, "/_stats") == 0)
        return answer_stats(c);
    atomic_fetch_add(&total_requests, 1);
    sleep_ms(options->latency_ms);
    if (strcmp(path, "/v1/jobs/batch") == 0)
        return answer_batch(c);
    if (strcmp(path, files) == 0)
        return answer_folder(options, c);
    bool file = strncmp(path, files, strlen(files)) == 0;
    if (!file && strncmp(path, jobs, strlen(jobs)) != 0)
        return conn_answer(c, "404 Not Found", "", "");
    const char *rest = strchr(path + strlen(jobs), '/');
    if (file || (rest && strncmp(rest, "/output", 7) == 0))
        return answer_output(options, c);
    return answer_job(c, path + strlen(jobs));
}
