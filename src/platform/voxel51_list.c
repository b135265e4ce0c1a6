/* SPDX-License-Identifier: Apache-2.0
 *
 * voxel51, lists: which jobs there are, page after page.
 *
 * Little is known of the query route (platform API notes, 5.1), so nothing it might do is relied
 * on:
 *   - It takes its members from a GET's body, earlier servers from the query string. The forms are
 *     tried in this order, and then /jobs/list, which knows no pages and no archived jobs. A form
 * is given up when its first page is refused or makes no sense, or when its offset changes nothing.
 *   - No `search`: what it matches differs between servers, and one misunderstood would look like
 *     an empty list. Rows are told apart here.
 *   - The total is not looked at: pages come until one is empty.
 *   - Sorted by id, the one field that no two jobs share. New jobs push rows back, so that some
 * come twice. Rows that went away would pull others past us: so each page begins with the last row
 *     of the one before; if that is not in it, we go back until it is.
 *   - Rows without a state are looked up.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/crc32c.h"
#include "core/log.h"
#include "core/mem.h"
#include "net/url.h"
#include "platform/voxel51_parse.h"
#include "platform/voxel51_private.h"

enum {
    PAGE_ROWS = 1000,
    PAGE_MAX_BYTES = 64 * 1024 * 1024, /* /jobs/list: over 100,000 jobs */
    ROWS_MAX = 20 * 1000 * 1000,       /* a list longer than that does not end */
    REWINDS_MAX = 32,
    QUERY_MAX = 512,
};

static const char fields[] = "id,state,expiration_date,expired,completion_date,failure_type";

enum form { FORM_BODY, FORM_STRING, FORM_LIST };

/* What one page held. */
struct page {
    size_t n;                  /* rows */
    uint32_t digest;           /* of the ids */
    size_t overlap;            /* how many rows follow the one that we knew; NONE: not there */
    char last[JOB_ID_MAX + 1]; /* the last id in it, "" for none */
    size_t after_last;         /* rows after that, with itself */
};
static const size_t none = SIZE_MAX;

struct voxel51_listing {
    struct voxel51 *v;
    void (*each)(void *arg, const struct source_job *job);
    source_done_fn *done;
    void *arg;
    struct http_call *http;
    struct buf query;
    enum form form;
    char unusable[48]; /* why the form is none; "" as long as it seems to be one */
    size_t next;       /* rows seen: where the list goes on */
    size_t offset;     /* asked for */
    bool checks;       /* whether `known` should be in the answer */
    bool paged;        /* the form has given a page */
    char known[JOB_ID_MAX + 1];
    struct page page;
    struct {
        size_t offset, n;
        uint32_t digest;
    } before; /* the answer before this one */
    size_t rows;
    unsigned rewinds;
    struct row_lookup *lookups; /* under way */
    bool cancelled;
    struct err err; /* the first */
};

/* A job of which the list did not tell the state. */
struct row_lookup {
    struct row_lookup *next;
    struct voxel51_listing *listing;
    struct source_job job;
};

static void ask(struct voxel51_listing *l);

static void finish(struct voxel51_listing *l)
{
    if (l->cancelled && l->err.code == ERR_NONE)
        err_set(&l->err, ERR_CANCELLED, "cancelled");
    l->v->listing = NULL;
    l->done(l->arg, l->err.code == ERR_NONE ? NULL : &l->err);
    buf_release(&l->query);
    free(l);
}

/* ---- rows ---- */

static void tell(const struct voxel51_listing *l, const struct source_job *job)
{
    if (job->state == JOB_COMPLETE || job->state == JOB_FAILED)
        l->each(l->arg, job);
}

static void go_on(struct voxel51_listing *l);

static void on_looked_up(void *arg, const struct err *err)
{
    struct row_lookup *lookup = arg;
    struct voxel51_listing *l = lookup->listing;
    struct row_lookup **at = &l->lookups;
    while (*at != lookup)
        at = &(*at)->next;
    *at = lookup->next;
    if (!err)
        tell(l, &lookup->job);
    else if (err->code != ERR_JOB_UNKNOWN && l->err.code == ERR_NONE)
        l->err = *err;
    source_job_release(&lookup->job);
    free(lookup);
    if (!l->lookups)
        go_on(l);
}

static void look_up(struct voxel51_listing *l, const char *id)
{
    struct row_lookup *lookup = xcalloc(1, sizeof(*lookup));
    lookup->listing = l;
    lookup->next = l->lookups;
    l->lookups = lookup;
    l->v->source.ops->describe(&l->v->source, id, &lookup->job, on_looked_up, lookup);
}

static void on_row(void *arg, const struct source_job *job)
{
    struct voxel51_listing *l = arg;
    struct page *page = &l->page;
    page->n++;
    page->after_last++;
    if (page->overlap != none)
        page->overlap++;
    if (!job)
        return;
    page->digest = crc32c(page->digest, job->id, strlen(job->id) + 1);
    page->after_last = 1;
    memcpy(page->last, job->id, sizeof(page->last));
    if (strcmp(job->id, l->known) == 0)
        page->overlap = 0;
    else if (*job->state_text)
        tell(l, job);
    else
        look_up(l, job->id);
}

/* ---- pages ---- */

/* Asks from the last row that is known, so that a list that moved is noticed. */
static void next_page(struct voxel51_listing *l, bool progress)
{
    size_t back = progress && *l->page.last ? l->page.after_last : 0;
    memcpy(l->known, l->page.last, sizeof(l->known));
    l->checks = back > 0;
    l->offset = l->next - back;
}

/* The row that we knew is not where it was. */
static void rewind_list(struct voxel51_listing *l)
{
    size_t back = 4 * (l->next - l->offset);
    l->offset = back < l->next ? l->next - back : 0;
    l->checks = l->offset > 0;
    log_debug("the Platform's list of jobs has moved; going back to row %zu", l->offset);
}

static void use_next_form(struct voxel51_listing *l)
{
    l->form++;
    if (l->form == FORM_LIST)
        log_warn("the Platform's job query cannot be used (%s): asking for the list instead, in "
                 "which archived jobs are missing",
                 l->unusable);
    else
        log_info("the Platform does not take a job query as a body (%s); asking by query string",
                 l->unusable);
    *l->unusable = *l->known = '\0';
    l->next = l->offset = l->before.n = 0;
    l->checks = l->paged = false;
}

/* Sets what is to be asked for after a page; false: nothing. */
static bool advance(struct voxel51_listing *l)
{
    const struct page *page = &l->page;
    bool same = page->n > 0 && l->before.n == page->n && l->before.digest == page->digest &&
                l->before.offset != l->offset;
    l->before.n = page->n;
    l->before.digest = page->digest;
    l->before.offset = l->offset;
    if (same)
        snprintf(l->unusable, sizeof(l->unusable), "its offset changes nothing");
    if (*l->unusable) {
        use_next_form(l);
        return true;
    }
    l->paged = true;
    l->v->list_form = (int)l->form;
    if (l->form == FORM_LIST || (!l->checks && page->n == 0))
        return false;
    if (l->checks && page->overlap == none && l->rewinds++ < REWINDS_MAX) {
        rewind_list(l);
        return true;
    }
    l->next = l->offset + page->n;
    next_page(l, !l->checks || page->overlap > 0);
    return true;
}

/* A page and its rows are done with. */
static void go_on(struct voxel51_listing *l)
{
    l->rows += l->page.n;
    if (l->rows > ROWS_MAX && l->err.code == ERR_NONE)
        err_set(&l->err, ERR_PROTOCOL, "the Platform's list of jobs does not end");
    if (l->err.code == ERR_NONE && !l->cancelled && advance(l))
        ask(l);
    else
        finish(l);
}

/* Not a page: the next form may do better, or it is an error. */
static void on_no_page(struct voxel51_listing *l, const struct err *err)
{
    if (l->paged || l->form == FORM_LIST) {
        l->err = *err;
        if (err->http_status == 403)
            l->err.code = ERR_AUTH;
        err_prefix(&l->err, "the Platform's list of jobs");
    } else if (err->code == ERR_HTTP) {
        snprintf(l->unusable, sizeof(l->unusable), "%d", err->http_status);
    } else {
        snprintf(l->unusable, sizeof(l->unusable), "the answer is no list of jobs");
    }
}

static void on_refused(struct voxel51_listing *l, const struct http_response *rsp,
                       const struct err *err)
{
    char words[VOXEL51_WORDS_SIZE];
    bool envelope;
    struct err why = {0};
    if (voxel51_common_error(rsp, err, words, &envelope, &why) && err->http_status != 501) {
        l->err = why;
        return;
    }
    why = *err;
    snprintf(why.msg, sizeof(why.msg), "refused (%d%s)", err->http_status, words);
    on_no_page(l, &why);
}

static void on_page(void *arg, const struct http_response *rsp, const struct err *err)
{
    struct voxel51_listing *l = arg;
    struct err misfit = {0};
    l->http = NULL;
    l->page = (struct page){.overlap = none};
    if (err)
        on_refused(l, rsp, err);
    else if (voxel51_parse_list(rsp->body, rsp->body_len, clock_wall_ms(), on_row, l, &misfit) < 0)
        on_no_page(l, &misfit);
    if (!l->lookups)
        go_on(l);
}

/* ---- asking ---- */

static void write_body(struct voxel51_listing *l)
{
    buf_printf(&l->query, "{\"fields\":\"%s\",\"sort\":\"id:asc\",\"limit\":%d", fields, PAGE_ROWS);
    if (l->offset > 0)
        buf_printf(&l->query, ",\"offset\":%zu", l->offset);
    buf_byte(&l->query, '}');
}

static char *query_url(const struct voxel51_listing *l)
{
    const char *base = l->v->base_url;
    if (l->form == FORM_LIST)
        return xprintf("%s/jobs/list", base);
    if (l->form == FORM_BODY)
        return xprintf("%s/jobs", base);
    char offset[32] = "";
    if (l->offset > 0)
        snprintf(offset, sizeof(offset), "&offset=%zu", l->offset);
    return xprintf("%s/jobs?fields=%s&sort=id%%3Aasc&limit=%d%s", base, fields, PAGE_ROWS, offset);
}

static void ask(struct voxel51_listing *l)
{
    struct voxel51 *v = l->v;
    char *url = query_url(l);
    struct http_header headers[] = {voxel51_auth_header(v),
                                    {"Content-Type", "application/json", false}};
    struct http_request rq = {
        .method = "GET",
        .url = url,
        .headers = headers,
        .n_headers = l->form == FORM_BODY ? 2 : 1,
        .max_body = PAGE_MAX_BYTES,
        .flags = HTTP_FOLLOW,
    };
    buf_clear(&l->query);
    if (l->form == FORM_BODY) {
        write_body(l);
        rq.body = buf_str(&l->query);
        rq.body_len = l->query.len;
        rq.has_body = true;
    }
    l->http = http_start(v->loop, &rq, &(struct http_events){.on_done = on_page}, l);
    free(url);
}

void voxel51_list(struct source *source, int64_t since_ms,
                  void (*each)(void *arg, const struct source_job *job), source_done_fn *done,
                  void *arg)
{
    struct voxel51 *v = (struct voxel51 *)source;
    (void)since_ms; /* there is no order by completion that could be relied on */
    CHECK(!v->listing);
    struct voxel51_listing *l = xcalloc(1, sizeof(*l));
    *l = (struct voxel51_listing){.v = v,
                                  .each = each,
                                  .done = done,
                                  .arg = arg,
                                  .form = (enum form)v->list_form,
                                  .query = BUF_INIT(QUERY_MAX)};
    v->listing = l;
    ask(l);
}

void voxel51_list_cancel(struct source *source)
{
    struct voxel51_listing *l = ((struct voxel51 *)source)->listing;
    if (!l || l->cancelled)
        return;
    l->cancelled = true;
    if (l->http)
        http_cancel(l->http);
    for (struct row_lookup *lookup = l->lookups; lookup; lookup = lookup->next)
        source->ops->describe_cancel(source, &lookup->job);
}
