/* SPDX-License-Identifier: Apache-2.0
 *
 * static_libc: of the one-file programs only: the functions for which even a static C library loads
 * shared ones when it runs, as they are on the machine it was built on. Names are resolved by
 * c-ares, ports are numbers and OpenSSL has no modules to load, so none of them is called. Here
 * they fail as their manuals say, and the C library's own are not linked.
 */
#include <netdb.h>
#include <stddef.h>
#include <sys/socket.h>

/* The C library has a use of its own for dlopen, so this one takes its place in what others call
 * (the linker's --wrap). */
void *no_dlopen(const char *file, int mode) __asm__("__wrap_dlopen");
int getservbyport_r(int port, const char *protocol, struct servent *entry, char *space,
                    size_t space_len, struct servent **found);

void *no_dlopen(const char *file, int mode)
{
    (void)file;
    (void)mode;
    return NULL;
}

/* NOLINTBEGIN(readability-inconsistent-declaration-parameter-name): the C library's are reserved */
int getaddrinfo(const char *restrict host, const char *restrict service,
                const struct addrinfo *restrict hints, struct addrinfo **restrict found)
{
    (void)host;
    (void)service;
    (void)hints;
    *found = NULL;
    return EAI_FAIL;
}

void freeaddrinfo(struct addrinfo *found)
{
    (void)found;
}

int getnameinfo(const struct sockaddr *restrict address, socklen_t len, char *restrict host,
                socklen_t host_len, char *restrict service, socklen_t service_len, int flags)
{
    (void)address;
    (void)len;
    (void)host;
    (void)host_len;
    (void)service;
    (void)service_len;
    (void)flags;
    return EAI_FAIL;
}

struct hostent *gethostbyname(const char *name)
{
    (void)name;
    return NULL;
}

struct servent *getservbyname(const char *name, const char *protocol)
{
    (void)name;
    (void)protocol;
    return NULL;
}

/* NOLINTEND(readability-inconsistent-declaration-parameter-name) */

int getservbyport_r(int port, const char *protocol, struct servent *entry, char *space,
                    size_t space_len, struct servent **found)
{
    (void)port;
    (void)protocol;
    (void)entry;
    (void)space;
    (void)space_len;
    *found = NULL;
    return 0;
}
