/* SPDX-License-Identifier: Apache-2.0
 *
 * startup OUT EVENT PEM PROGRAM...: starts a Lambda program and writes one JSON line to OUT: the
 * microseconds from just before its fork to the arrival of its first GET .../next, and to the
 * arrival of its answer to EVENT (a file: a webhook's), which has to be a 200.
 *
 * It plays the runtime API, and behind TLS (key and certificate: PEM) a queue that takes every
 * message, on loopback, in one thread: while the program works it waits. The program ends with the
 * measurement.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    PEERS_MAX = 16,
    MESSAGE_MAX = 64 * 1024,
    PATIENCE_MS = 60 * 1000,
    LOOK_MS = 1000, /* how often it is looked whether the program is still there */
};

#define MESSAGE_ID "5fea7756-0ea4-451a-a703-a558b933e274"

struct peer {
    int fd;
    SSL *tls; /* owned; it came to the queue. NULL: to the runtime API */
    char in[MESSAGE_MAX + 1];
    size_t filled;
};

static struct {
    char event[MESSAGE_MAX];
    pid_t pid;
    int runtime, queue; /* listening */
    SSL_CTX *tls;
    struct peer peers[PEERS_MAX];
    size_t n_peers;
    int64_t begin_us, next_us, answer_us; /* the latter two from the former */
    unsigned messages;
} run;

static _Noreturn void die(const char *what, const char *about)
{
    fprintf(stderr, "startup: %s: %s\n", what, about);
    if (run.pid > 0)
        kill(run.pid, SIGKILL);
    exit(1);
}

static int64_t now_us(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* ---- answers ---- */

static void answer(const struct peer *peer, const char *status, const char *headers,
                   const char *body)
{
    static char text[2 * MESSAGE_MAX];
    int n = snprintf(text, sizeof(text), "HTTP/1.1 %s\r\n%sContent-Length: %zu\r\n\r\n%s", status,
                     headers, strlen(body), body);
    if ((peer->tls ? SSL_write(peer->tls, text, n) : send(peer->fd, text, (size_t)n, 0)) != n)
        die("an answer could not be sent", text);
}

static void hand_out(const struct peer *peer)
{
    char headers[512];
    snprintf(headers, sizeof(headers),
             "Content-Type: application/json\r\n"
             "Lambda-Runtime-Aws-Request-Id: 8476a536-e9f4-11e8-9739-2dfe598c3fcd\r\n"
             "Lambda-Runtime-Deadline-Ms: %" PRId64 "\r\n"
             "Lambda-Runtime-Invoked-Function-Arn: "
             "arn:aws:lambda:us-east-1:123456789012:function:bench\r\n",
             now_us(CLOCK_REALTIME) / 1000 + PATIENCE_MS);
    answer(peer, "200 OK", headers, run.event);
}

/* The protocol of today's clients, and the one that Debian's boto3 speaks. */
static void take_message(const struct peer *peer, const char *request)
{
    run.messages++;
    if (strstr(request, "x-amz-json"))
        answer(peer, "200 OK", "Content-Type: application/x-amz-json-1.0\r\n",
               "{\"Successful\":[{\"Id\":\"0\",\"MessageId\":\"" MESSAGE_ID "\"}],\"Failed\":[]}");
    else
        answer(peer, "200 OK", "Content-Type: text/xml\r\n",
               "<SendMessageResponse><SendMessageResult>"
               "<MessageId>" MESSAGE_ID "</MessageId>"
               "</SendMessageResult></SendMessageResponse>");
}

static void handle(const struct peer *peer, const char *request, const char *body)
{
    int64_t us = now_us(CLOCK_MONOTONIC) - run.begin_us;
    if (peer->tls) {
        take_message(peer, request);
    } else if (strncmp(request, "GET /2018-06-01/runtime/invocation/next ", 40) == 0) {
        run.next_us = us;
        hand_out(peer);
    } else {
        char path[128] = "";
        sscanf(request, "POST %127s", path);
        size_t len = strlen(path);
        const char *status = strstr(body, "\"statusCode\":");
        if (len < 9 || strcmp(path + len - 9, "/response") != 0 || !status ||
            strtol(status + 13, NULL, 10) != 200)
            die("expected an answer with 200, got", request);
        run.answer_us = us;
    }
}

/* ---- the way here ---- */

static size_t body_length(const char *head, const char *end)
{
    for (const char *line = strstr(head, "\r\n"); line && line < end;
         line = strstr(line + 2, "\r\n"))
        if (strncasecmp(line + 2, "content-length:", 15) == 0)
            return strtoul(line + 17, NULL, 10);
    return 0;
}

static void drop(struct peer *peer)
{
    SSL_free(peer->tls);
    close(peer->fd);
    *peer = run.peers[--run.n_peers];
}

/* Waits for the rest of what has begun to arrive; the program waits for us alone by then. */
static void receive(struct peer *peer)
{
    char *at = peer->in + peer->filled;
    size_t space = MESSAGE_MAX - peer->filled;
    ssize_t n = peer->tls ? SSL_read(peer->tls, at, (int)space) : recv(peer->fd, at, space, 0);
    if (n <= 0) {
        drop(peer);
        return;
    }
    peer->filled += (size_t)n;
    peer->in[peer->filled] = '\0';
    const char *end = strstr(peer->in, "\r\n\r\n");
    if (!end || peer->filled < (size_t)(end + 4 - peer->in) + body_length(peer->in, end))
        return;
    handle(peer, peer->in, end + 4);
    peer->filled = 0;
}

static void greet(int listener, SSL_CTX *tls)
{
    int on = 1;
    int fd = accept(listener, NULL, NULL);
    if (fd < 0 || run.n_peers == PEERS_MAX)
        die("accept", strerror(errno));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    struct peer *peer = &run.peers[run.n_peers++];
    peer->fd = fd;
    peer->filled = 0;
    peer->tls = tls ? SSL_new(tls) : NULL;
    if (tls && (!SSL_set_fd(peer->tls, fd) || SSL_accept(peer->tls) != 1))
        die("the queue", "no TLS connection came about");
}

static void serve(void)
{
    while (!run.answer_us) {
        struct pollfd fds[PEERS_MAX + 2] = {{.fd = run.runtime, .events = POLLIN},
                                            {.fd = run.queue, .events = POLLIN}};
        for (size_t i = 0; i < run.n_peers; i++)
            fds[i + 2] = (struct pollfd){.fd = run.peers[i].fd, .events = POLLIN};
        size_t n = run.n_peers;
        if (poll(fds, n + 2, LOOK_MS) < 0)
            die("poll", strerror(errno));
        for (size_t i = n; i-- > 0;) /* from behind: dropping one moves the last */
            if (fds[i + 2].revents)
                receive(&run.peers[i]);
        if (fds[0].revents)
            greet(run.runtime, NULL);
        if (fds[1].revents)
            greet(run.queue, run.tls);
        if (waitpid(run.pid, NULL, WNOHANG) == run.pid)
            die("the program", "ended before it answered");
        if (now_us(CLOCK_MONOTONIC) - run.begin_us > PATIENCE_MS * 1000LL)
            die("the program", "does not answer");
    }
}

/* ---- the start ---- */

static int listen_on_loopback(char where[32])
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, len) < 0 || listen(fd, PEERS_MAX) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &len) < 0)
        die("cannot listen on 127.0.0.1", strerror(errno));
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    snprintf(where, 32, "127.0.0.1:%d", ntohs(address.sin_port));
    return fd;
}

static void set_up(const char *event, const char *pem)
{
    char runtime[32], queue[32], url[64];
    FILE *f = fopen(event, "r");
    if (!f || fread(run.event, 1, MESSAGE_MAX - 1, f) == 0)
        die(event, strerror(errno));
    fclose(f);
    run.tls = SSL_CTX_new(TLS_server_method());
    if (!run.tls || SSL_CTX_use_certificate_chain_file(run.tls, pem) != 1 ||
        SSL_CTX_use_PrivateKey_file(run.tls, pem, SSL_FILETYPE_PEM) != 1)
        die(pem, "no certificate with its key");
    signal(SIGPIPE, SIG_IGN);
    run.runtime = listen_on_loopback(runtime);
    run.queue = listen_on_loopback(queue);
    setenv("AWS_LAMBDA_RUNTIME_API", runtime, 1);
    snprintf(url, sizeof(url), "https://%s/123456789012/jobs", queue);
    setenv("EGRESS_QUEUE", url, 1);
}

int main(int argc, char **argv)
{
    if (argc < 5) {
        fprintf(stderr, "usage: startup OUT EVENT PEM PROGRAM...\n");
        return 2;
    }
    set_up(argv[2], argv[3]);
    run.begin_us = now_us(CLOCK_MONOTONIC);
    run.pid = fork();
    if (run.pid < 0)
        die("fork", strerror(errno));
    if (run.pid == 0) {
        signal(SIGPIPE, SIG_DFL);
        dup2(STDERR_FILENO, STDOUT_FILENO);
        execv(argv[4], argv + 4);
        fprintf(stderr, "startup: cannot run %s: %s\n", argv[4], strerror(errno));
        _exit(127);
    }
    serve();
    kill(run.pid, SIGKILL);
    waitpid(run.pid, NULL, 0);
    FILE *out = fopen(argv[1], "w");
    if (!out)
        die(argv[1], strerror(errno));
    fprintf(out, "{\"next_us\":%" PRId64 ",\"answer_us\":%" PRId64 ",\"messages\":%u}\n",
            run.next_us, run.answer_us, run.messages);
    return fclose(out) == 0 ? 0 : 1;
}
