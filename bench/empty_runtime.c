/* SPDX-License-Identifier: Apache-2.0
 *
 * empty_runtime: the least that is a Lambda program: asks for events and answers each with 200. No
 * answer of the runtime API that is not as expected is put up with. Linked statically.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MESSAGE_MAX = 64 * 1024 };

#define RUNTIME "/2018-06-01/runtime/invocation/"

static int connect_to(const char *where)
{
    char host[64];
    unsigned short port;
    struct sockaddr_in address = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (sscanf(where, "%63[^:]:%hu", host, &port) != 2 ||
        inet_pton(AF_INET, host, &address.sin_addr) != 1)
        return -1;
    address.sin_port = htons(port);
    return connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 ? fd : -1;
}

/* Sends it, and reads the answer up to the end of its body. */
static bool exchange(int fd, const char *request, char *answer)
{
    size_t len = strlen(request), filled = 0, wanted = MESSAGE_MAX;
    if (send(fd, request, len, 0) != (ssize_t)len)
        return false;
    while (filled < wanted) {
        ssize_t n = recv(fd, answer + filled, MESSAGE_MAX - filled, 0);
        if (n <= 0)
            return false;
        filled += (size_t)n;
        answer[filled] = '\0';
        const char *end = strstr(answer, "\r\n\r\n");
        const char *length = strstr(answer, "Content-Length: ");
        if (end && length)
            wanted = (size_t)(end + 4 - answer) + strtoul(length + 16, NULL, 10);
    }
    return true;
}

int main(void)
{
    static char answer[MESSAGE_MAX + 1], request[1024];
    const char *where = getenv("AWS_LAMBDA_RUNTIME_API");
    int fd = where ? connect_to(where) : -1;
    while (fd >= 0) {
        snprintf(request, sizeof(request), "GET " RUNTIME "next HTTP/1.1\r\nHost: %s\r\n\r\n",
                 where);
        const char *id;
        if (!exchange(fd, request, answer) ||
            !(id = strstr(answer, "Lambda-Runtime-Aws-Request-Id: ")))
            break;
        id = strchr(id, ' ') + 1;
        snprintf(request, sizeof(request),
                 "POST " RUNTIME "%.*s/response HTTP/1.1\r\nHost: %s\r\n"
                 "Content-Type: application/json\r\nContent-Length: 18\r\n\r\n"
                 "{\"statusCode\": 200}",
                 (int)strcspn(id, "\r"), id, where);
        if (!exchange(fd, request, answer))
            break;
    }
    perror("empty_runtime");
    return 1;
}
