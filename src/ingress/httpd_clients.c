/* SPDX-License-Identifier: Apache-2.0
 *
 * httpd_clients: how many connections and requests a client address has, in bounded memory: an
 * entry for each address with a connection, and SPARE more for those that were here last, so that
 * to hang up and call again does not fill a bucket.
 */
#include <arpa/inet.h>
#include <math.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/mem.h"
#include "core/random.h"
#include "ingress/httpd_private.h"

enum { SPARE = 4096 };

struct httpd_client {
    unsigned char key[HTTPD_CLIENT_KEY];
    unsigned connections;
    double tokens; /* requests that it may make at once, as of at_ms */
    int64_t at_ms;
    struct httpd_client *chain; /* the next of the same slot */
    /* of those without a connection, in the order they left */
    struct httpd_client *earlier, *later;
};

struct httpd_clients {
    double rate, burst;
    unsigned per_client_max;
    uint64_t seed; /* nobody outside knows which addresses share a slot */
    struct httpd_client *first_gone, *last_gone;
    size_t n_gone;
    size_t mask;
    struct httpd_client **slots; /* owned; mask + 1 chains */
};

bool httpd_client_key(const struct sockaddr *address, unsigned char key[HTTPD_CLIENT_KEY])
{
    memset(key, 0, HTTPD_CLIENT_KEY);
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;
        memcpy(key + 12, &v4->sin_addr, 4);
        return key[12] != 127;
    }
    if (address->sa_family != AF_INET6)
        return false;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;
    if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
        memcpy(key + 12, v6->sin6_addr.s6_addr + 12, 4);
        return key[12] != 127;
    }
    memcpy(key, &v6->sin6_addr, 8);
    key[15] = 6; /* never an IPv4 address */
    return !IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
}

struct httpd_clients *httpd_clients_new(const struct httpd_config *config)
{
    size_t n = 1024;
    while (n < config->connections_max + (size_t)SPARE)
        n *= 2;
    struct httpd_clients *clients = xcalloc(1, sizeof(*clients));
    clients->slots = xcalloc(n, sizeof(void *));
    clients->rate = config->rate;
    clients->burst = config->burst < 1 ? 1 : config->burst;
    clients->per_client_max = config->per_client_max;
    clients->seed = random_u64() | 1;
    clients->mask = n - 1;
    return clients;
}

static struct httpd_client **slot_of(const struct httpd_clients *clients,
                                     const unsigned char key[HTTPD_CLIENT_KEY])
{
    uint64_t halves[2];
    memcpy(halves, key, sizeof(halves));
    uint64_t h = (halves[0] ^ clients->seed) * UINT64_C(0x9E3779B97F4A7C15);
    h = ((h ^ (h >> 29)) + halves[1]) * clients->seed;
    return &clients->slots[(h ^ (h >> 32)) & clients->mask];
}

static struct httpd_client *find(const struct httpd_clients *clients,
                                 const unsigned char key[HTTPD_CLIENT_KEY])
{
    struct httpd_client *client = *slot_of(clients, key);
    while (client && memcmp(client->key, key, HTTPD_CLIENT_KEY) != 0)
        client = client->chain;
    return client;
}

static void unlink_gone(struct httpd_clients *clients, struct httpd_client *client)
{
    *(client->earlier ? &client->earlier->later : &clients->first_gone) = client->later;
    *(client->later ? &client->later->earlier : &clients->last_gone) = client->earlier;
    client->earlier = client->later = NULL;
    clients->n_gone--;
}

static void forget_first_gone(struct httpd_clients *clients)
{
    struct httpd_client *client = clients->first_gone;
    unlink_gone(clients, client);
    struct httpd_client **at = slot_of(clients, client->key);
    while (*at != client)
        at = &(*at)->chain;
    *at = client->chain;
    free(client);
}

void httpd_clients_free(struct httpd_clients *clients)
{
    if (!clients)
        return;
    while (clients->first_gone)
        forget_first_gone(clients);
    free(clients->slots);
    free(clients);
}

bool httpd_client_is_full(const struct httpd_clients *clients,
                          const unsigned char key[HTTPD_CLIENT_KEY])
{
    const struct httpd_client *client = find(clients, key);
    return client && clients->per_client_max && client->connections >= clients->per_client_max;
}

struct httpd_client *httpd_client_enter(struct httpd_clients *clients,
                                        const unsigned char key[HTTPD_CLIENT_KEY])
{
    struct httpd_client *client = find(clients, key);
    if (client && client->connections == 0) {
        unlink_gone(clients, client);
    } else if (!client) {
        client = xcalloc(1, sizeof(*client));
        memcpy(client->key, key, HTTPD_CLIENT_KEY);
        client->tokens = clients->burst;
        client->at_ms = clock_mono_ms();
        struct httpd_client **slot = slot_of(clients, key);
        client->chain = *slot;
        *slot = client;
    }
    client->connections++;
    return client;
}

void httpd_client_leave(struct httpd_clients *clients, struct httpd_client *client)
{
    if (--client->connections > 0)
        return;
    client->earlier = clients->last_gone;
    *(clients->last_gone ? &clients->last_gone->later : &clients->first_gone) = client;
    clients->last_gone = client;
    if (++clients->n_gone > SPARE)
        forget_first_gone(clients);
}

int64_t httpd_client_take(struct httpd_clients *clients, struct httpd_client *client,
                          int64_t now_ms)
{
    if (clients->rate <= 0)
        return 0;
    double more = (double)(now_ms - client->at_ms) * clients->rate / 1000;
    client->tokens = fmin(client->tokens + more, clients->burst);
    client->at_ms = now_ms;
    if (client->tokens >= 1) {
        client->tokens -= 1;
        return 0;
    }
    return (int64_t)ceil((1 - client->tokens) * 1000 / clients->rate);
}
