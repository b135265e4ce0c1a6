/* SPDX-License-Identifier: Apache-2.0
 *
 * What strangers can write into a request to the admin side: Host and Origin, the parameters of a
 * list, the body of a retry. The first line is Host, then Origin, state, limit, prefix, after; the
 * rest is the body.
 */
#include <stdlib.h>
#include <string.h>

#include "core/job_id.h"
#include "core/mem.h"
#include "serve/admin_read.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Takes a line off the front; NULL: an empty one, as a parameter that is not given. */
static char *next_line(const char **at, const char *end)
{
    const char *line = *at, *stop = memchr(line, '\n', (size_t)(end - line));
    if (!stop)
        stop = end;
    *at = stop < end ? stop + 1 : end;
    return stop > line ? xstrndup(line, (size_t)(stop - line)) : NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *at = (const char *)data, *end = at + size;
    char *lines[6];
    struct err err = {0};
    struct journal_list list = {0};
    struct admin_ids ids;
    for (size_t i = 0; i < 6; i++)
        lines[i] = next_line(&at, end);

    bool local = admin_host_is_local(lines[0], "127.0.0.1:8081");
    CHECK(lines[0] || !local);
    CHECK(lines[1] || admin_origin_is(lines[1], lines[0]));

    const struct admin_list_query query = {lines[2], lines[3], lines[4], lines[5]};
    if (admin_read_list(&query, &list, &err) == 0)
        CHECK(list.limit >= 1 && list.limit <= JOURNAL_PAGE_MAX && list.state < JOURNAL_STATES);
    else
        CHECK(err.code == ERR_INPUT && err.msg[0]);

    err = (struct err){0};
    if (admin_read_retry(at, (size_t)(end - at), &ids, &err) == 0)
        for (size_t i = 0; i < ids.n; i++)
            CHECK(job_id_is_valid(ids.ids[i]));
    else
        CHECK(err.msg[0]);
    admin_ids_release(&ids);
    for (size_t i = 0; i < 6; i++)
        free(lines[i]);
    return 0;
}
