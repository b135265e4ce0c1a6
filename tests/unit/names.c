/* SPDX-License-Identifier: Apache-2.0 */
#define _DEFAULT_SOURCE /* getifaddrs */

#include "tests/unit/names.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/mem.h"
#include "net/url.h"

static bool looks_local(const char *host)
{
    struct url url = {0};
    struct err err = {0};
    char *text = xprintf("http://%s/", host);
    bool local = url_parse(text, &url, &err) < 0 || url_is_local(&url);
    url_release(&url);
    free(text);
    return local;
}

bool own_address(char ip[NAME_SIZE])
{
    struct ifaddrs *all;
    bool found = false;
    if (getifaddrs(&all) < 0)
        return false;
    for (struct ifaddrs *a = all; a && !found; a = a->ifa_next)
        if (a->ifa_addr && a->ifa_addr->sa_family == AF_INET &&
            inet_ntop(AF_INET, &((struct sockaddr_in *)(void *)a->ifa_addr)->sin_addr, ip,
                      NAME_SIZE))
            found = !looks_local(ip);
    freeifaddrs(all);
    return found;
}

bool name_of_loopback(char name[NAME_SIZE])
{
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found;
    memset(name, 0, NAME_SIZE);
    if (gethostname(name, NAME_SIZE - 1) < 0 || looks_local(name) ||
        getaddrinfo(name, NULL, &hints, &found) != 0)
        return false;
    uint32_t address = ntohl(((struct sockaddr_in *)(void *)found->ai_addr)->sin_addr.s_addr);
    freeaddrinfo(found);
    return address == INADDR_LOOPBACK;
}
