/* SPDX-License-Identifier: Apache-2.0
 *
 * GET /jobs and /jobs/list: which jobs, in what order, and their streaming as JSON.
 */
#include <jansson.h>
#include <string.h>
#include <strings.h>

#include "body.h"
#include "core/mem.h"
#include "core/text.h"
#include "job_json.h"
#include "routes.h"

/* A million keys of an id's length fit into KEYS_MAX. */
enum { ITEMS_MAX = 64, KEYS_MAX = 256 * 1024 * 1024, TEXT_MAX = 64 * 1024, STREAM_BLOCK = 65536 };

struct query {
    unsigned fields;
    struct {
        int field;  /* -1: any that is searchable without a name */
        char *text; /* owned; alternatives between '|', backslashes still in */
    } items[ITEMS_MAX];
    size_t n_items;
    int sort_field;
    bool descending;
    int64_t offset, limit; /* limit 0: none */
};

static void query_release(struct query *q)
{
    for (size_t i = 0; i < q->n_items; i++)
        free(q->items[i].text);
}

/* ---- reading --------------------------------------------------------------------------------- */

/* First c in s that no backslash stands before, or the end. */
static const char *find_unescaped(const char *s, char c)
{
    while (*s && *s != c)
        s += s[0] == '\\' && s[1] ? 2 : 1;
    return s;
}

static int add_item(struct query *q, const char *s, size_t len, struct err *err)
{
    const char *colon = find_unescaped(s, ':');
    if (q->n_items == ITEMS_MAX)
        return err_set(err, ERR_INPUT, "More than %d search items", ITEMS_MAX);
    int field = -1;
    if (colon < s + len) {
        field = field_parse(s, (size_t)(colon - s));
        if (field < 0)
            return err_set(err, ERR_INPUT, "Invalid search field");
        len -= (size_t)(colon + 1 - s);
        s = colon + 1;
    }
    q->items[q->n_items].field = field;
    q->items[q->n_items++].text = xstrndup(s, len);
    return 0;
}

/* Both add what a comma-joined text holds: a string member, or one element of an array. */
static int add_search(struct query *q, const char *s, struct err *err)
{
    while (*s) {
        const char *end = find_unescaped(s, ',');
        if (end > s && add_item(q, s, (size_t)(end - s), err) < 0)
            return -1;
        s = *end ? end + 1 : end;
    }
    return 0;
}

static void add_fields(struct query *q, const char *s)
{
    while (*s) {
        size_t n = strcspn(s, ",");
        int field = field_parse(s, n);
        if (field >= 0)
            q->fields |= 1u << field;
        s += s[n] ? n + 1 : n;
    }
}

static int set_sort(struct query *q, const char *s, struct err *err)
{
    size_t n = strcspn(s, ":");
    q->sort_field = field_parse(s, n);
    q->descending = strcasecmp(s + n, ":asc") != 0;
    if (q->sort_field < 0 || (s[n] && q->descending && strcasecmp(s + n, ":desc") != 0))
        return err_set(err, ERR_INPUT, "Invalid sort; expected FIELD:asc or FIELD:desc");
    return 0;
}

static int set_number(int64_t *number, const char *name, const char *s, struct err *err)
{
    if (text_parse_int(s, 0, INT32_MAX, number) < 0)
        return err_set(err, ERR_INPUT, "Invalid %s", name);
    return 0;
}

enum member { FIELDS, SEARCH, SORT, OFFSET, LIMIT, UNKNOWN };

static enum member member_parse(const char *name, size_t len)
{
    static const char *const members[] = {"fields", "search", "sort", "offset", "limit"};
    int i = FIELDS;
    while (i < UNKNOWN && (strlen(members[i]) != len || memcmp(members[i], name, len) != 0))
        i++;
    return (enum member)i;
}

static int set_member(struct query *q, enum member member, const char *value, struct err *err)
{
    switch (member) {
    case FIELDS:
        add_fields(q, value);
        return 0;
    case SEARCH:
        return add_search(q, value, err);
    case SORT:
        return set_sort(q, value, err);
    case OFFSET:
        return set_number(&q->offset, "offset", value, err);
    case LIMIT:
        return set_number(&q->limit, "limit", value, err);
    case UNKNOWN:
        break;
    }
    return 0;
}

static int set_json_value(struct query *q, const char *name, const json_t *value, struct err *err)
{
    char number[32];
    const char *text = json_string_value(value);
    if (json_is_integer(value)) {
        snprintf(number, sizeof(number), "%lld", (long long)json_integer_value(value));
        text = number;
    }
    enum member member = member_parse(name, strlen(name));
    if (!text && member != UNKNOWN)
        return err_set(err, ERR_INPUT, "Invalid %s", name);
    return set_member(q, member, text, err);
}

static int read_body(struct query *q, const struct buf *body, struct err *err)
{
    json_t *root = json_loadb(buf_str(body), body->len, 0, NULL);
    const char *name;
    json_t *value, *element;
    size_t i;
    int rc = json_is_object(root) ? 0 : err_set(err, ERR_INPUT, "Expected a JSON object");
    json_object_foreach(root, name, value)
    {
        if (rc == 0 && json_is_array(value)) {
            json_array_foreach(value, i, element) if (rc == 0) rc =
                set_json_value(q, name, element, err);
        } else if (rc == 0 && !json_is_null(value)) {
            rc = set_json_value(q, name, value, err);
        }
    }
    json_decref(root);
    return rc;
}

struct arguments {
    struct query *query;
    struct err *err;
    int rc;
};

/* "fields", "fields[]" and "fields[0]" are the same: JavaScript writes arrays so. */
static enum MHD_Result on_argument(void *cls, enum MHD_ValueKind kind, const char *name,
                                   const char *value)
{
    (void)kind;
    struct arguments *args = cls;
    enum member member = member_parse(name, strcspn(name, "["));
    args->rc = set_member(args->query, member, value ? value : "", args->err);
    return args->rc == 0 ? MHD_YES : MHD_NO;
}

static int read_query(struct request *rq, struct query *q, struct err *err)
{
    *q = (struct query){.sort_field = FIELD_UPLOAD_DATE, .descending = true};
    struct arguments args = {q, err, 0};
    const struct switches *sw = &rq->sim->sw;
    if (rq->body.len && sw->query_from != QUERY_FROM_STRING)
        args.rc = read_body(q, &rq->body, err);
    else if (sw->query_from != QUERY_FROM_BODY)
        MHD_get_connection_values(rq->connection, MHD_GET_ARGUMENT_KIND, on_argument, &args);
    if (!q->fields || !sw->query_fields)
        q->fields = JOB_FIELDS_QUERY;
    if (!sw->query_sort) {
        q->sort_field = FIELD_UPLOAD_DATE;
        q->descending = true;
    }
    if (q->limit == 0)
        q->limit = sw->query_default;
    int64_t max = sw->query_max;
    if (max && (q->limit == 0 || q->limit > max))
        q->limit = max;
    return args.rc;
}

/* ---- matching -------------------------------------------------------------------------------- */

static bool contains(const char *text, const char *part, bool any_case)
{
    if (!any_case)
        return strstr(text, part) != NULL;
    size_t n = strlen(part);
    for (;; text++) {
        if (strncasecmp(text, part, n) == 0)
            return true;
        if (!*text)
            return false;
    }
}

/* Whether the text holds one of the alternatives. */
static bool text_fits(const char *text, const char *alternatives, bool any_case)
{
    char part[1024];
    for (const char *s = alternatives;; s++) {
        const char *end = find_unescaped(s, '|');
        size_t n = 0;
        while (s < end && n < sizeof(part) - 1) {
            if (*s == '\\' && s + 1 < end)
                s++;
            part[n++] = *s++;
        }
        part[n] = '\0';
        if (s == end && contains(text, part, any_case))
            return true;
        s = end;
        if (!*s)
            return false;
    }
}

static bool field_fits(const struct switches *sw, const struct view *view, int field,
                       const char *alternatives, struct buf *text)
{
    buf_clear(text);
    field_text(sw, view, field, text);
    bool any_case = sw->search_case == SEARCH_INSENSITIVE || field_is_boolean(field);
    return text_fits(buf_str(text), alternatives, any_case);
}

static bool job_fits(const struct switches *sw, const struct query *q, const struct view *view,
                     struct buf *text)
{
    for (size_t i = 0; i < q->n_items; i++) {
        int field = q->items[i].field;
        const char *alternatives = q->items[i].text;
        bool fits = field >= 0 ? field_fits(sw, view, field, alternatives, text)
                               : field_fits(sw, view, FIELD_ID, alternatives, text) ||
                                     field_fits(sw, view, FIELD_NAME, alternatives, text) ||
                                     field_fits(sw, view, FIELD_STATE, alternatives, text);
        if (!fits)
            return false;
    }
    return true;
}

/* ---- order ----------------------------------------------------------------------------------- */

struct row {
    const char *key; /* into a buffer of the sort */
    uint32_t index;
};

static int compare_rows(const void *a, const void *b)
{
    const struct row *left = a, *right = b;
    int order = strcmp(left->key, right->key);
    return order ? order : (left->index > right->index) - (left->index < right->index);
}

/* -1: too many jobs with too long texts. */
static int sort_rows(struct sim *sim, const struct query *q, uint32_t *rows, size_t n)
{
    struct buf keys = BUF_INIT(KEYS_MAX);
    struct row *sorted = xcalloc(n, sizeof(*sorted));
    size_t *at = xcalloc(n, sizeof(*at));
    struct view view;
    for (size_t i = 0; i < n; i++) {
        at[i] = keys.len;
        jobs_at(sim->jobs, rows[i], &view);
        field_text(&sim->sw, &view, q->sort_field, &keys);
        buf_byte(&keys, '\0');
    }
    int rc = buf_overflowed(&keys) ? -1 : 0;
    for (size_t i = 0; i < n && rc == 0; i++)
        sorted[i] = (struct row){buf_str(&keys) + at[i], rows[i]};
    if (rc == 0)
        qsort(sorted, n, sizeof(*sorted), compare_rows);
    for (size_t i = 0; i < n && rc == 0; i++)
        rows[i] = sorted[q->descending ? n - 1 - i : i].index;
    free(at);
    free(sorted);
    buf_release(&keys);
    return rc;
}

/* ---- answering ------------------------------------------------------------------------------- */

/* An answer under way: a million jobs are never in memory as text. */
struct listing {
    struct sim *sim;
    uint32_t *rows; /* owned */
    size_t n_rows, next;
    unsigned fields;
    struct buf out;
    size_t out_at;
    bool with_total, ended;
    size_t total;
};

static void free_listing(void *cls)
{
    struct listing *listing = cls;
    free(listing->rows);
    buf_release(&listing->out);
    free(listing);
}

static void fill(struct listing *listing)
{
    struct view view;
    struct buf *out = &listing->out;
    buf_clear(out);
    listing->out_at = 0;
    if (listing->next == 0)
        buf_str_append(out, "{\"jobs\":[");
    for (; listing->next < listing->n_rows && out->len < STREAM_BLOCK; listing->next++) {
        jobs_at(listing->sim->jobs, listing->rows[listing->next], &view);
        if (listing->next)
            buf_byte(out, ',');
        job_json_write(&listing->sim->sw, &view, listing->fields, out);
    }
    if (listing->next < listing->n_rows)
        return;
    listing->ended = true;
    buf_byte(out, ']');
    if (listing->with_total) {
        buf_byte(out, ',');
        text_json_quote(out, listing->sim->sw.query_total);
        buf_printf(out, ":%zu", listing->total);
    }
    buf_byte(out, '}');
}

static ssize_t read_listing(void *cls, uint64_t pos, char *buf, size_t max)
{
    (void)pos;
    struct listing *listing = cls;
    if (listing->out_at == listing->out.len) {
        if (listing->ended)
            return MHD_CONTENT_READER_END_OF_STREAM;
        fill(listing);
    }
    size_t n = listing->out.len - listing->out_at;
    if (n > max)
        n = max;
    memcpy(buf, listing->out.data + listing->out_at, n);
    listing->out_at += n;
    return (ssize_t)n;
}

/* Takes the listing. One that fits into a block goes with its length. */
static enum MHD_Result respond_listing(struct request *rq, struct listing *listing)
{
    listing->out = BUF_INIT(4 * STREAM_BLOCK);
    fill(listing);
    if (listing->ended) {
        enum MHD_Result rc = respond_json(rq, 200, &listing->out);
        free_listing(listing);
        return rc;
    }
    struct shape shape = SHAPE_PLAIN;
    body_apply_fault(rq, listing->out.len, &shape);
    struct MHD_Response *response = body_response(rq, &shape, MHD_SIZE_UNKNOWN, STREAM_BLOCK,
                                                  read_listing, listing, free_listing);
    if (!response) {
        free_listing(listing);
        return MHD_NO;
    }
    MHD_add_response_header(response, "Content-Type", "application/json; charset=utf-8");
    return respond(rq, 200, response);
}

/* The list route shows no archived jobs. */
static struct listing *find_rows(struct sim *sim, const struct query *q, bool list_route)
{
    struct listing *listing = xcalloc(1, sizeof(*listing));
    struct buf text = BUF_INIT(TEXT_MAX);
    struct view view;
    size_t n = jobs_count(sim->jobs);
    listing->sim = sim;
    listing->fields = q->fields;
    listing->rows = xcalloc(n, sizeof(*listing->rows));
    for (size_t i = 0; i < n; i++) {
        if (!jobs_at(sim->jobs, (uint32_t)i, &view) || view.job.foreign)
            continue;
        if (list_route && (view.job.archived || (view.expired && !sim->sw.list_expired)))
            continue;
        if (!job_fits(&sim->sw, q, &view, &text))
            continue;
        listing->rows[listing->n_rows++] = (uint32_t)i;
    }
    buf_release(&text);
    listing->total = listing->n_rows;
    return listing;
}

static void cut_to_page(struct listing *listing, const struct query *q)
{
    size_t offset = (size_t)q->offset < listing->n_rows ? (size_t)q->offset : listing->n_rows;
    listing->n_rows -= offset;
    memmove(listing->rows, listing->rows + offset, listing->n_rows * sizeof(*listing->rows));
    if (q->limit && (size_t)q->limit < listing->n_rows)
        listing->n_rows = (size_t)q->limit;
}

enum MHD_Result handle_query(struct request *rq)
{
    struct query q;
    struct err err = {0};
    if (rq->sim->sw.query_from == QUERY_FROM_NONE)
        return respond_error(rq, 404, "Not Found");
    if (read_query(rq, &q, &err) < 0) {
        query_release(&q);
        return respond_error(rq, rq->sim->sw.status_bad_request, "%s", err.msg);
    }
    struct listing *listing = find_rows(rq->sim, &q, false);
    listing->with_total = true;
    int rc = sort_rows(rq->sim, &q, listing->rows, listing->n_rows);
    cut_to_page(listing, &q);
    query_release(&q);
    if (rc < 0) {
        free_listing(listing);
        return respond_error(rq, 500, "The jobs' texts are too long to be sorted");
    }
    return respond_listing(rq, listing);
}

/* In the order of creation. */
enum MHD_Result handle_list(struct request *rq)
{
    bool all = rq->sim->sw.list_fields == LIST_FIELDS_ALL;
    const struct query everything = {.fields = all ? JOB_FIELDS_QUERY : 1u << FIELD_ID};
    struct listing *listing = find_rows(rq->sim, &everything, true);
    return respond_listing(rq, listing);
}
