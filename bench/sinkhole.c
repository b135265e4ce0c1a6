/* SPDX-License-Identifier: Apache-2.0
 *
 * sinkhole: as much of S3 as an upload needs, and it throws the bytes away as cheaply as the kernel
 * can, so that a measurement of a client is not one of the server. No signature is looked at.
 *
 *     sinkhole        prints {"listening":"http://127.0.0.1:PORT"}, serves until a signal
 *     GET /_stats     {"requests":N,"bytes":N}: bodies since the last time it was asked
 */
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HEAD_MAX = 16384, DISCARD_CHUNK = 1 << 20, ANSWER_MAX = 2048 };

static atomic_uint_fast64_t total_requests, total_bytes;

struct request {
    char head[HEAD_MAX + 1];
    size_t filled;   /* bytes in head; those from head_len on belong to the body */
    size_t head_len; /* with the empty line */
    char method[16], target[2048];
    uint64_t body_len;
    bool chunked, expects_continue;
};

static int send_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
        if (n < 0)
            return -1;
        data += n;
        len -= (size_t)n;
    }
    return 0;
}

static int read_head(int fd, struct request *r)
{
    const char *end = NULL;
    while (!(end = strstr(r->head, "\r\n\r\n"))) {
        if (r->filled == HEAD_MAX)
            return -1;
        ssize_t n = recv(fd, r->head + r->filled, HEAD_MAX - r->filled, 0);
        if (n <= 0)
            return -1;
        r->filled += (size_t)n;
        r->head[r->filled] = '\0';
    }
    r->head_len = (size_t)(end - r->head) + 4;
    return 0;
}

static int parse_head(struct request *r)
{
    if (sscanf(r->head, "%15s %2047s HTTP/1.1\r\n", r->method, r->target) != 2)
        return -1;
    r->body_len = 0;
    r->chunked = r->expects_continue = false;
    const char *stop = r->head + r->head_len - 2;
    for (const char *line = strstr(r->head, "\r\n") + 2; line < stop;
         line = strstr(line, "\r\n") + 2) {
        if (strncasecmp(line, "content-length:", 15) == 0) {
            r->body_len = strtoull(line + 15, NULL, 10);
        } else if (strncasecmp(line, "transfer-encoding:", 18) == 0) {
            r->chunked = true;
        } else if (strncasecmp(line, "expect: 100-continue", 20) == 0) {
            r->expects_continue = true;
        }
    }
    return 0;
}

/* MSG_TRUNC on TCP: the kernel drops the bytes instead of copying them (tcp(7)). What came with
 * the head and is not of this body stays, for the next request. */
static int discard_body(int fd, struct request *r)
{
    uint64_t left = r->body_len;
    size_t rest = r->filled - r->head_len;
    size_t ours = rest < left ? rest : (size_t)left;
    memmove(r->head, r->head + r->head_len + ours, rest - ours);
    r->filled = rest - ours;
    r->head[r->filled] = '\0';
    left -= ours;
    while (left > 0) {
        size_t want = left < DISCARD_CHUNK ? (size_t)left : DISCARD_CHUNK;
        ssize_t n = recv(fd, NULL, want, MSG_TRUNC | MSG_WAITALL);
        if (n <= 0)
            return -1;
        left -= (uint64_t)n;
    }
    return 0;
}

static int answer(int fd, const char *status, const char *headers, const char *body)
{
    char text[ANSWER_MAX];
    int n = snprintf(text, sizeof(text), "HTTP/1.1 %s\r\n%sContent-Length: %zu\r\n\r\n%s", status,
                     headers, strlen(body), body);
    return send_all(fd, text, (size_t)n);
}

static int answer_missing(int fd, bool with_body)
{
    static const char xml[] =
        "<Error><Code>NoSuchKey</Code><Message>nothing is kept</Message></Error>";
    return answer(fd, "404 Not Found", "Content-Type: application/xml\r\n", with_body ? xml : "");
}

static int answer_stats(int fd)
{
    char text[128];
    snprintf(text, sizeof(text), "{\"requests\":%" PRIuFAST64 ",\"bytes\":%" PRIuFAST64 "}\n",
             atomic_exchange(&total_requests, 0), atomic_exchange(&total_bytes, 0));
    return answer(fd, "200 OK", "Content-Type: application/json\r\n", text);
}

static int answer_request(int fd, const struct request *r)
{
    static const char xml_type[] = "Content-Type: application/xml\r\n";
    const char *query = strchr(r->target, '?');
    query = query ? query + 1 : "";
    if (strcmp(r->method, "GET") == 0 && strcmp(r->target, "/_stats") == 0)
        return answer_stats(fd);
    atomic_fetch_add(&total_requests, 1);
    atomic_fetch_add(&total_bytes, r->body_len);
    if (strcmp(r->method, "PUT") == 0)
        return answer(fd, "200 OK", "ETag: \"0123456789abcdef0123456789abcdef\"\r\n", "");
    if (strcmp(r->method, "DELETE") == 0)
        return answer(fd, "204 No Content", "", "");
    if (strcmp(r->method, "POST") == 0 && strncmp(query, "uploads", 7) == 0)
        return answer(fd, "200 OK", xml_type,
                      "<InitiateMultipartUploadResult><Bucket>b</Bucket><Key>k</Key>"
                      "<UploadId>sinkhole-1</UploadId></InitiateMultipartUploadResult>");
    if (strcmp(r->method, "POST") == 0 && strstr(query, "uploadId="))
        return answer(fd, "200 OK", xml_type,
                      "<CompleteMultipartUploadResult><Bucket>b</Bucket><Key>k</Key>"
                      "<ETag>\"0123456789abcdef0123456789abcdef-1\"</ETag>"
                      "</CompleteMultipartUploadResult>");
    return answer_missing(fd, strcmp(r->method, "HEAD") != 0);
}

static void *serve_connection(void *arg)
{
    int fd = (int)(intptr_t)arg;
    struct request *r = calloc(1, sizeof(*r));
    while (r && read_head(fd, r) == 0 && parse_head(r) == 0) {
        if (r->expects_continue && send_all(fd, "HTTP/1.1 100 Continue\r\n\r\n", 25) < 0)
            break;
        if (r->chunked) {
            answer(fd, "411 Length Required", "Connection: close\r\n", "");
            break;
        }
        if (discard_body(fd, r) < 0 || answer_request(fd, r) < 0)
            break;
    }
    free(r);
    close(fd);
    return NULL;
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, len) < 0 ||
        listen(listener, 128) < 0 || getsockname(listener, (struct sockaddr *)&address, &len) < 0) {
        perror("sinkhole: cannot listen on 127.0.0.1");
        return 1;
    }
    printf("{\"listening\":\"http://127.0.0.1:%d\"}\n", ntohs(address.sin_port));
    fflush(stdout);
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
            continue;
        if (fd < 0) {
            perror("sinkhole: accept");
            return 1;
        }
        int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        pthread_t thread;
        if (pthread_create(&thread, NULL, serve_connection, (void *)(intptr_t)fd) != 0)
            close(fd);
        else
            pthread_detach(thread);
    }
}
