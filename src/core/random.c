/* SPDX-License-Identifier: Apache-2.0 */
#include "core/random.h"

#include <sys/random.h>

#include "core/err.h"

uint64_t random_u64(void)
{
    uint64_t value;
    /* Up to 256 bytes always come whole once the generator is seeded (getrandom(2)). */
    ssize_t n = getrandom(&value, sizeof(value), 0);
    CHECK(n == sizeof(value));
    return value;
}
