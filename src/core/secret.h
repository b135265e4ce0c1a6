/* SPDX-License-Identifier: Apache-2.0
 *
 * secret: comparing what a stranger sent with what only few know. Any thread.
 */
#ifndef EGRESS_CORE_SECRET_H
#define EGRESS_CORE_SECRET_H

#include <stdbool.h>
#include <stddef.h>

/* Takes as long whatever is in `given`: how much of it is right cannot be measured. */
bool secret_is_same(const void *given, size_t given_len, const void *secret, size_t len);

#endif
