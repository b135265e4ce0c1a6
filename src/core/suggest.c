/* SPDX-License-Identifier: Apache-2.0 */
#include "core/suggest.h"

#include <string.h>

enum { NAME_MAX_LEN = 32 };

static unsigned min2(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* Optimal string alignment distance; both at most NAME_MAX_LEN long. */
static unsigned slips(const char *a, size_t a_len, const char *b, size_t b_len)
{
    unsigned d[NAME_MAX_LEN + 1][NAME_MAX_LEN + 1];
    for (unsigned i = 0; i <= a_len; i++)
        d[i][0] = i;
    for (unsigned j = 0; j <= b_len; j++)
        d[0][j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        for (size_t j = 1; j <= b_len; j++) {
            unsigned same = a[i - 1] == b[j - 1] ? 0 : 1;
            d[i][j] = min2(min2(d[i - 1][j] + 1, d[i][j - 1] + 1), d[i - 1][j - 1] + same);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                d[i][j] = min2(d[i][j], d[i - 2][j - 2] + 1);
        }
    }
    return d[a_len][b_len];
}

const char *suggest(const char *given, const char *const *names, size_t n)
{
    size_t len = strlen(given);
    if (len == 0 || len > NAME_MAX_LEN)
        return NULL;
    const char *nearest = NULL, *begins = NULL;
    unsigned best = 3;
    size_t n_begins = 0;
    for (size_t i = 0; i < n; i++) {
        size_t name_len = strlen(names[i]);
        if (name_len > NAME_MAX_LEN)
            continue;
        unsigned d = slips(given, len, names[i], name_len);
        if (d < best && 2 * d < name_len) {
            best = d;
            nearest = names[i];
        }
        if (strncmp(names[i], given, len) == 0) {
            n_begins++;
            begins = names[i];
        }
    }
    return nearest ? nearest : n_begins == 1 ? begins : NULL;
}
