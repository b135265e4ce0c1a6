/* SPDX-License-Identifier: Apache-2.0 */
#include "core/secret.h"

bool secret_is_same(const void *given, size_t given_len, const void *secret, size_t len)
{
    const unsigned char *a = given, *b = secret;
    volatile unsigned char differ = given_len != len;
    for (size_t i = 0; i < len; i++)
        differ = (unsigned char)(differ | (b[i] ^ (given_len ? a[i % given_len] : 0)));
    return differ == 0;
}
