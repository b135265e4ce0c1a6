/* SPDX-License-Identifier: Apache-2.0
 *
 * names: addresses and names of this machine, for tests of what leads to it. Any thread.
 *
 *     char name[NAME_SIZE];
 *     if (!name_of_loopback(name))
 *         skip();
 */
#ifndef EGRESS_TESTS_NAMES_H
#define EGRESS_TESTS_NAMES_H

#include <stdbool.h>

enum { NAME_SIZE = 256 };

/* An IPv4 address by which others reach this machine, or false. */
bool own_address(char ip[NAME_SIZE]);
/* A name that does not look like this machine but leads to 127.0.0.1, or false. */
bool name_of_loopback(char name[NAME_SIZE]);

#endif
