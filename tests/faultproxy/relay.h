/* SPDX-License-Identifier: Apache-2.0
 *
 * relay: one client's connection, passed on to the target request by request, faults included.
 *
 * Heads and bodies go through as they are, the Host header too: what is signed stays valid. One
 * thread a connection; blocking; struct proxy is shared by all.
 *
 *     struct proxy proxy = {.rules = rules, .target = {.ai_family = AF_INET, ...}};
 *     relay_run(&proxy, accepted_fd);                     closes the descriptor
 */
#ifndef EGRESS_TESTS_FAULTPROXY_RELAY_H
#define EGRESS_TESTS_FAULTPROXY_RELAY_H

#include <netdb.h>
#include <stdatomic.h>

#include "rules.h"

struct proxy {
    struct rules *rules;           /* borrowed */
    const struct addrinfo *target; /* borrowed */
    atomic_llong connections, requests, faults[FAULT_COUNT];
};

void relay_run(struct proxy *proxy, int client_fd);

#endif
