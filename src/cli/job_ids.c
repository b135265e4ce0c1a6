/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/job_ids.h"

#include <errno.h>
#include <search.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/text.h"
#include "core/job_id.h"

enum { LINE_MAX_BYTES = 16 * 1024 };

static int compare(const void *a, const void *b)
{
    return strcmp(a, b);
}

static int refuse(const char *id, struct err *err)
{
    char shown[64];
    snprintf(shown, sizeof(shown), "%s", id);
    text_make_printable(shown);
    return err_set(err, ERR_INPUT,
                   "\"%s\"%s is no job id: expected 1 to %d letters, digits, '-' and '_', a letter "
                   "or digit first",
                   shown, strlen(id) >= sizeof(shown) ? "..." : "", JOB_ID_MAX);
}

static void add(struct job_ids *ids, const char *id, void (*bad)(void *arg, const struct err *err),
                void *arg)
{
    struct err err = {0};
    if (!job_id_is_valid(id)) {
        refuse(id, &err);
        bad(arg, &err);
        return;
    }
    if (tfind(id, &ids->seen, compare))
        return;
    if (ids->n == ids->size) {
        ids->size = ids->size ? 2 * ids->size : 64;
        ids->list = xrealloc(ids->list, ids->size * sizeof(ids->list[0]));
    }
    char *copy = xstrdup(id);
    ids->list[ids->n++] = copy;
    CHECK(tsearch(copy, &ids->seen, compare));
}

/* Reads a line of any length without its end. Of one that does not fit, and of one with a NUL, no
 * part may be taken for an id: a '?' sees to that. False: there is no line. */
static bool read_line(FILE *in, char *line, size_t size)
{
    size_t len = 0;
    int c;
    while ((c = getc(in)) != EOF && c != '\n')
        if (len < size - 1)
            line[len++] = c ? (char)c : '?';
        else
            line[len - 1] = '?';
    line[len] = '\0';
    return len > 0 || c == '\n';
}

static int add_lines(struct job_ids *ids, FILE *in, void (*bad)(void *arg, const struct err *err),
                     void *arg, struct err *err)
{
    char *line = xcalloc(1, LINE_MAX_BYTES);
    while (read_line(in, line, LINE_MAX_BYTES)) {
        size_t len = strlen(line);
        while (len && strchr(" \t\r", line[len - 1]))
            line[--len] = '\0';
        char *id = line + strspn(line, " \t");
        if (*id)
            add(ids, id, bad, arg);
    }
    free(line);
    return ferror(in) ? err_set_errno(err, ERR_IO, errno, "standard input") : 0;
}

int job_ids_read(struct job_ids *ids, char *const *operands, int n,
                 void (*bad)(void *arg, const struct err *err), void *arg, struct err *err)
{
    for (int i = 0; i < n; i++) {
        if (strcmp(operands[i], "-") != 0)
            add(ids, operands[i], bad, arg);
        else if (add_lines(ids, stdin, bad, arg, err) < 0)
            return -1;
    }
    return 0;
}

void job_ids_release(struct job_ids *ids)
{
    while (ids->seen) /* the strings are the list's */
        tdelete(*(char **)ids->seen, &ids->seen, compare);
    for (size_t i = 0; i < ids->n; i++)
        free(ids->list[i]);
    free(ids->list);
    memset(ids, 0, sizeof(*ids));
}
