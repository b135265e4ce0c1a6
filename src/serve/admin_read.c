/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/admin_read.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/job_id.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/text.h"

enum { PAGE_STANDARD = 50 };

/* ---- where to, where from ---- */

static bool is_loopback_name(const char *host, size_t len)
{
    static const char *const names[] = {"localhost", "127.0.0.1", "[::1]"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strlen(names[i]) == len && strncasecmp(host, names[i], len) == 0)
            return true;
    return false;
}

bool admin_host_is_local(const char *host, const char *address)
{
    if (!host)
        return false;
    const char *colon = strrchr(host, ':');
    bool has_port = colon && !strchr(colon, ']');
    return is_loopback_name(host, has_port ? (size_t)(colon - host) : strlen(host)) ||
           strcmp(host, address) == 0;
}

bool admin_origin_is(const char *origin, const char *host)
{
    if (!origin)
        return true;
    const char *name = strstr(origin, "://"); /* "null" is said by what hides it */
    return name && host && strcmp(name + 3, host) == 0;
}

/* ---- lists ---- */

/* A parameter that is copied into `out`; -1: it does not fit. */
static int copy_parameter(const char *name, const char *value, char *out, size_t size,
                          struct err *err)
{
    if (!value)
        return 0;
    if (strlen(value) >= size)
        return err_set(err, ERR_INPUT, "%s: longer than %zu bytes", name, size - 1);
    memcpy(out, value, strlen(value) + 1);
    return 0;
}

int admin_read_list(const struct admin_list_query *query, struct journal_list *list,
                    struct err *err)
{
    int64_t n = PAGE_STANDARD;
    list->state = -1;
    if (query->state && *query->state) {
        enum journal_state known = journal_state_parse(query->state);
        if (known == JOURNAL_STATES)
            return err_set(err, ERR_INPUT,
                           "state %.32s: expected waiting, ready, running, stored, failed or dead",
                           query->state);
        list->state = (int)known;
    }
    if (query->limit && text_parse_int(query->limit, 1, JOURNAL_PAGE_MAX, &n) < 0)
        return err_set(err, ERR_INPUT, "limit %.32s: expected 1 to %d", query->limit,
                       JOURNAL_PAGE_MAX);
    list->limit = (unsigned)n;
    if (copy_parameter("prefix", query->prefix, list->prefix, sizeof(list->prefix), err) < 0 ||
        copy_parameter("after", query->after, list->after, sizeof(list->after), err) < 0)
        return -1;
    return 0;
}

/* ---- retry ---- */

void admin_ids_release(struct admin_ids *ids)
{
    for (size_t i = 0; i < ids->n; i++)
        free(ids->ids[i]);
    free(ids->ids);
    *ids = (struct admin_ids){0};
}

static int take_ids(const json_t *jobs, struct admin_ids *ids, struct err *err)
{
    size_t n = json_array_size(jobs);
    if (n == 0 || n > ADMIN_RETRY_MAX)
        return err_set(err, ERR_INPUT, "%zu jobs; expected 1 to %d", n, ADMIN_RETRY_MAX);
    ids->ids = xcalloc(n, sizeof(ids->ids[0]));
    for (size_t i = 0; i < n; i++) {
        const char *id = json_string_value(json_array_get(jobs, i));
        if (!id || !job_id_is_valid(id))
            return err_set(err, ERR_INPUT, "jobs[%zu] is no job id", i);
        ids->ids[ids->n++] = xstrdup(id);
    }
    return 0;
}

int admin_read_retry(const char *text, size_t len, struct admin_ids *ids, struct err *err)
{
    json_error_t why;
    json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &why);
    *ids = (struct admin_ids){0};
    if (!root)
        return json_refused(err, "the body", &why);
    const json_t *jobs = json_object_get(root, "jobs");
    int rc = 0;
    if (json_is_array(jobs))
        rc = take_ids(jobs, ids, err);
    else if (!json_is_true(json_object_get(root, "dead")))
        rc = err_set(err, ERR_INPUT, "expected {\"jobs\":[JOB_ID,...]} or {\"dead\":true}");
    json_decref(root);
    return rc;
}
