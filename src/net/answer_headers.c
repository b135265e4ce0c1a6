/* SPDX-License-Identifier: Apache-2.0
 *
 * answer_headers: the header fields of one answer, found by name.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/mem.h"
#include "net/net_private.h"

static struct answer_header *find(const struct answer_headers *headers, const char *name)
{
    for (size_t i = 0; i < headers->n; i++)
        if (strcasecmp(headers->all[i].name, name) == 0)
            return &headers->all[i];
    return NULL;
}

const char *answer_headers_get(const struct answer_headers *headers, const char *name)
{
    const struct answer_header *h = find(headers, name);
    return h ? h->value : NULL;
}

void answer_headers_add(struct answer_headers *headers, const char *line, size_t len)
{
    const char *colon = memchr(line, ':', len);
    if (!colon || colon == line)
        return;
    const char *value = colon + 1, *end = line + len;
    while (value < end && (*value == ' ' || *value == '\t'))
        value++;
    while (end > value && strchr(" \t\r\n", end[-1]))
        end--;
    char *name = xstrndup(line, (size_t)(colon - line));
    struct answer_header *same = find(headers, name);
    if (same) { /* RFC 9110, 5.3: the same as one joined by commas */
        char *joined = xprintf("%s, %.*s", same->value, (int)(end - value), value);
        free(same->value);
        same->value = joined;
        free(name);
        return;
    }
    size_t n = headers->n++;
    headers->all = xrealloc(headers->all, headers->n * sizeof(headers->all[0]));
    headers->all[n] =
        (struct answer_header){.name = name, .value = xstrndup(value, (size_t)(end - value))};
}

void answer_headers_release(struct answer_headers *headers)
{
    for (size_t i = 0; i < headers->n; i++) {
        free(headers->all[i].name);
        free(headers->all[i].value);
    }
    free(headers->all);
    *headers = (struct answer_headers){0};
}
