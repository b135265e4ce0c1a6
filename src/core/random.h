/* SPDX-License-Identifier: Apache-2.0
 *
 * random: bits from the kernel's generator. Any thread.
 */
#ifndef EGRESS_CORE_RANDOM_H
#define EGRESS_CORE_RANDOM_H

#include <stdint.h>

uint64_t random_u64(void);

#endif
