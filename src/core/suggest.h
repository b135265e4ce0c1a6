/* SPDX-License-Identifier: Apache-2.0
 *
 * suggest: what somebody may have meant who typed a name that does not exist. Any thread.
 *
 *     const char *meant = suggest("memry", names, n);
 *     if (meant)
 *         ... "did you mean --%s?"
 */
#ifndef EGRESS_CORE_SUGGEST_H
#define EGRESS_CORE_SUGGEST_H

#include <stddef.h>

/* The name that is nearest to `given`: at most two slips away (a letter too many, missing or wrong,
 * or two swapped) and fewer than half of its letters, or the only one that begins with it. NULL
 * when none is near. Borrowed from `names`. */
const char *suggest(const char *given, const char *const *names, size_t n);

#endif
