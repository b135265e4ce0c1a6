/* SPDX-License-Identifier: Apache-2.0
 *
 * ends: the two ends of a transfer, so cheap that a measurement is one of the client between them.
 *
 *     ends source     a Platform with COMPLETE jobs, whose outputs leave by sendfile(2); the same
 *                     outputs as a folder at /files/
 *     ends sink       as much of S3 as an upload needs; bodies are thrown away by the kernel. No
 *                     signature is looked at
 *
 * Prints {"listening":"http://127.0.0.1:PORT"}, and serves until a signal. A thread for each
 * connection.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/text.h"
#include "ends.h"

static const char usage[] =
    "ends source [--size SIZE] [--jobs N] [--rate SIZE] [--latency MS]\n"
    "ends sink [--latency MS] [--tls PEM] [--check]\n"
    "\n"
    "  --size SIZE   of every output (1MiB)\n"
    "  --jobs N      jobs that are listed: job-000000 and so on (1)\n"
    "  --rate SIZE   bytes a second on one connection; 0: all speed (0)\n"
    "  --latency MS  wait before each answer; the sink: before that to a PUT or POST (0)\n"
    "  --tls PEM     https, with this certificate and key\n"
    "  --check       take the CRC32C of what is stored: GET /_stats tells it\n";

static struct options options = {.size = 1 << 20, .jobs = 1};
static int (*serve)(const struct options *options, struct conn *c);
static SSL_CTX *tls;

static void *serve_connection(void *arg)
{
    struct conn *c = calloc(1, sizeof(*c));
    int fd = (int)(intptr_t)arg;
    if (!c) {
        close(fd);
        return NULL;
    }
    c->fd = fd;
    c->tls = tls ? SSL_new(tls) : NULL;
    bool good = !tls || (c->tls && SSL_set_fd(c->tls, fd) == 1 && SSL_accept(c->tls) == 1);
    while (good && conn_request(c) == 0)
        good = serve(&options, c) == 0;
    conn_close(c);
    free(c);
    return NULL;
}

/* One cipher for all, so that it is not the clients' libraries' taste that is measured. */
static int open_tls(const char *pem)
{
    tls = SSL_CTX_new(TLS_server_method());
    if (tls && SSL_CTX_set_ciphersuites(tls, "TLS_AES_128_GCM_SHA256") == 1 &&
        SSL_CTX_use_certificate_chain_file(tls, pem) == 1 &&
        SSL_CTX_use_PrivateKey_file(tls, pem, SSL_FILETYPE_PEM) == 1)
        return 0;
    fprintf(stderr, "ends: %s: no certificate with its key\n", pem);
    return -1;
}

static int read_value(const char *name, const char *value)
{
    if (strcmp(name, "--size") == 0)
        return text_parse_size(value, &options.size);
    if (strcmp(name, "--rate") == 0)
        return text_parse_size(value, &options.rate);
    if (strcmp(name, "--jobs") == 0)
        return text_parse_int(value, 0, 1000000, &options.jobs);
    if (strcmp(name, "--latency") == 0)
        return text_parse_int(value, 0, 60000, &options.latency_ms);
    if (strcmp(name, "--tls") == 0)
        return open_tls(value);
    return -1;
}

static int read_options(int argc, char **argv)
{
    if (argc < 2)
        return -1;
    bool source = strcmp(argv[1], "source") == 0;
    serve = source ? source_serve : sink_serve;
    if (!source && strcmp(argv[1], "sink") != 0)
        return -1;
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--check") == 0)
            options.check = true;
        else if (i + 1 == argc || read_value(argv[i], argv[i + 1]) < 0)
            return -1;
        else
            i++;
    }
    return source ? source_begin(&options) : 0;
}

static int listen_on_loopback(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, len) < 0 ||
        listen(listener, 1024) < 0 || getsockname(listener, (struct sockaddr *)&address, &len) < 0)
        return -1;
    printf("{\"listening\":\"http%s://127.0.0.1:%d\"}\n", tls ? "s" : "", ntohs(address.sin_port));
    fflush(stdout);
    return listener;
}

int main(int argc, char **argv)
{
    if (read_options(argc, argv) < 0) {
        fputs(usage, stderr);
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    int listener = listen_on_loopback();
    if (listener < 0) {
        perror("ends: cannot listen on 127.0.0.1");
        return 1;
    }
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
            continue;
        if (fd < 0) {
            perror("ends: accept");
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
