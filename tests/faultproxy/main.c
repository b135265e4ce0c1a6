/* SPDX-License-Identifier: Apache-2.0
 *
 * faultproxy: stands before a store or the Platform in tests and does to connections and requests
 * what the world does.
 */
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/mem.h"
#include "core/text.h"
#include "net/url.h"
#include "relay.h"

static const char usage[] =
    "faultproxy --to http://HOST:PORT [--seed N] [--rule RULE]...\n"
    "\n"
    "A reverse proxy with faults, for tests. When ready it prints one line of JSON on stdout:\n"
    "{\"listening\":\"http://127.0.0.1:PORT\"}. Each request it has dealt with is a line of JSON "
    "on\n"
    "stderr. GET /.faultproxy/stats tells what was hit; POST /.faultproxy/off ends all faults,\n"
    "/.faultproxy/on lets them go on.\n"
    "\n"
    "A RULE is FAULT[,NAME=VALUE]...; of several, the first that hits a request is taken.\n";

static const char usage_names[] =
    "\n"
    "Which requests (cut-connection is drawn when one comes in, and knows the first three only):\n"
    "  probability=0..1  of a match to be hit (1)\n"
    "  skip=N            matches that are let off first\n"
    "  count=N           hits, then no more\n"
    "  method=PUT        exactly\n"
    "  path=GLOB         of the path as it is in the request, where * goes over slashes too\n"
    "  query=TEXT        is in the query\n"
    "  reused=yes        not the first request of its connection\n"
    "  max-inflight=N    while the target has N others or more to answer\n"
    "What happens:\n"
    "  how=rst|fin       a cut is a reset or an orderly end (drawn)\n"
    "  fraction=0..1     of a body (drawn)\n"
    "  bytes=SIZE  ms=N  status=N  code=S3CODE  retry-after=SECONDS\n";

static void help(void)
{
    printf("%s\nFaults:\n", usage);
    for (enum fault fault = FAULT_NONE; fault < FAULT_COUNT; fault++)
        printf("  %-15s %s\n", fault_name(fault), fault_text(fault));
    fputs(usage_names, stdout);
}

static int fail(const char *what)
{
    fprintf(stderr, "faultproxy: %s\n", what);
    return 2;
}

struct client {
    struct proxy *proxy;
    int fd;
};

static void *serve(void *arg)
{
    struct client client = *(struct client *)arg;
    free(arg);
    relay_run(client.proxy, client.fd);
    return NULL;
}

static int listen_local(unsigned *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, len) < 0 || listen(fd, 512) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &len) < 0) {
        if (fd >= 0)
            close(fd);
        return -1;
    }
    *port = ntohs(address.sin_port);
    return fd;
}

/* Never comes back. */
static int run(struct proxy *proxy)
{
    unsigned port;
    int listener = listen_local(&port);
    if (listener < 0)
        return fail(strerror(errno));
    printf("{\"listening\":\"http://127.0.0.1:%u\"}\n", port);
    fflush(stdout);
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        if (fd < 0)
            continue;
        struct client *client = xcalloc(1, sizeof(*client));
        *client = (struct client){proxy, fd};
        pthread_t thread;
        if (pthread_create(&thread, NULL, serve, client) != 0) {
            close(fd);
            free(client);
            continue;
        }
        pthread_detach(thread);
    }
}

static int resolve(const char *text, struct addrinfo **target, struct err *err)
{
    struct url url = {0};
    if (url_parse(text, &url, err) < 0)
        return -1;
    char port[8];
    snprintf(port, sizeof(port), "%u", url.port);
    const struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM};
    int rc = strcmp(url.scheme, "http") == 0 ? getaddrinfo(url.host, port, &hints, target) : -1;
    url_release(&url);
    return rc == 0 ? 0 : err_set(err, ERR_USAGE, "--to %s: not http, or no such host", text);
}

struct options {
    const char *to;
    int64_t seed;
};

static int read_options(int argc, char **argv, struct options *options, struct err *err)
{
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 == argc)
            return err_set(err, ERR_USAGE, "each option has a value; see --help");
        if (strcmp(argv[i], "--to") == 0)
            options->to = argv[i + 1];
        else if (strcmp(argv[i], "--seed") == 0) {
            if (text_parse_int(argv[i + 1], 0, INT64_MAX, &options->seed) < 0)
                return err_set(err, ERR_USAGE, "--seed %s: not a number", argv[i + 1]);
        } else if (strcmp(argv[i], "--rule") != 0)
            return err_set(err, ERR_USAGE, "no option %s; see --help", argv[i]);
    }
    return options->to ? 0 : err_set(err, ERR_USAGE, "--to is missing; see --help");
}

static int read_rules(int argc, char **argv, struct rules *rules, struct err *err)
{
    for (int i = 1; i < argc; i += 2)
        if (strcmp(argv[i], "--rule") == 0 && rules_add(rules, argv[i + 1], err) < 0)
            return -1;
    return 0;
}

int main(int argc, char **argv)
{
    struct err err = {0};
    struct options options = {0};
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        help();
        return 0;
    }
    if (read_options(argc, argv, &options, &err) < 0)
        return fail(err.msg);
    struct addrinfo *target = NULL;
    struct proxy proxy = {.rules = rules_new((uint64_t)options.seed)};
    int status;
    if (read_rules(argc, argv, proxy.rules, &err) < 0 || resolve(options.to, &target, &err) < 0) {
        status = fail(err.msg);
    } else {
        proxy.target = target;
        status = run(&proxy);
        freeaddrinfo(target);
    }
    rules_free(proxy.rules);
    return status;
}
