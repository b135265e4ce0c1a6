/* SPDX-License-Identifier: Apache-2.0
 *
 * s3_uploads: what a store knows of unfinished uploads: ListParts and ListMultipartUploads.
 */
#include <stdlib.h>
#include <string.h>

#include "aws/s3_call.h"
#include "aws/xml.h"
#include "core/clock.h"
#include "core/crc32c.h"
#include "core/mem.h"
#include "core/text.h"

/* One element of a page: a part, or an upload. */
struct entry {
    char *etag, *crc32c, *key, *upload_id, *initiated;
    int64_t number, size;
};

struct page {
    const char *root;  /* name of the document's root */
    const char *group; /* what each entry is an element of: "/Part" */
    bool seen_root, truncated;
    char *next_number, *next_key, *next_id; /* owned; where the next page begins */
    struct entry now;                       /* the one being read */
    struct entry *entries;                  /* owned */
    size_t n, size;
};

static void entry_release(struct entry *e)
{
    free(e->etag);
    free(e->crc32c);
    free(e->key);
    free(e->upload_id);
    free(e->initiated);
}

static void page_release(struct page *page)
{
    for (size_t i = 0; i < page->n; i++)
        entry_release(&page->entries[i]);
    entry_release(&page->now);
    free(page->entries);
    free(page->next_number);
    free(page->next_key);
    free(page->next_id);
}

static void set(char **to, const char *text)
{
    free(*to);
    *to = xstrdup(text);
}

static void end_of_entry(struct page *page)
{
    if (page->n == page->size) {
        page->size = page->size ? 2 * page->size : 64;
        page->entries = xrealloc(page->entries, page->size * sizeof(page->entries[0]));
    }
    page->entries[page->n++] = page->now;
    page->now = (struct entry){0};
}

static void in_entry(struct entry *e, const char *name, const char *text)
{
    if (strcmp(name, "ETag") == 0)
        set(&e->etag, text);
    else if (strcmp(name, "ChecksumCRC32C") == 0)
        set(&e->crc32c, text);
    else if (strcmp(name, "Key") == 0)
        set(&e->key, text);
    else if (strcmp(name, "UploadId") == 0)
        set(&e->upload_id, text);
    else if (strcmp(name, "Initiated") == 0)
        set(&e->initiated, text);
    else if (strcmp(name, "PartNumber") == 0 && text_parse_int(text, 1, S3_PARTS_MAX, &e->number))
        e->number = 0;
    else if (strcmp(name, "Size") == 0 && text_parse_int(text, 0, INT64_MAX, &e->size))
        e->size = -1;
}

static void each_element(void *arg, const char *path, const char *text)
{
    struct page *page = arg;
    size_t root = strlen(page->root), group = strlen(page->group);
    if (strncmp(path, page->root, root) != 0)
        return;
    const char *rest = path + root;
    if (!*rest)
        page->seen_root = true;
    else if (strcmp(rest, page->group) == 0)
        end_of_entry(page);
    else if (strncmp(rest, page->group, group) == 0 && rest[group] == '/')
        in_entry(&page->now, rest + group + 1, text);
    else if (strcmp(rest, "/IsTruncated") == 0)
        page->truncated = strcmp(text, "true") == 0;
    else if (strcmp(rest, "/NextPartNumberMarker") == 0)
        set(&page->next_number, text);
    else if (strcmp(rest, "/NextKeyMarker") == 0)
        set(&page->next_key, text);
    else if (strcmp(rest, "/NextUploadIdMarker") == 0)
        set(&page->next_id, text);
}

/* Reads a page's text; S3_DONE: into *page. */
static enum s3_next read_page(struct s3_call *call, const struct http_response *rsp,
                              struct page *page, struct err *err)
{
    struct err why = {0};
    if (s3_error_is(rsp->body, rsp->body_len))
        return s3_call_refused(call, rsp, err);
    if (xml_read(rsp->body, rsp->body_len, each_element, page, &why) < 0 || !page->seen_root)
        return s3_call_not_s3(call, rsp, err);
    return S3_DONE;
}

/* ---- ListParts ---- */

static void parts_query(struct s3_call *call)
{
    buf_clear(&call->query);
    s3_call_query(call, "uploadId", call->prefix);
    if (call->token)
        s3_call_query(call, "part-number-marker", call->token);
}

static enum s3_next read_parts(struct s3_call *call, const struct http_response *rsp,
                               struct err *err)
{
    struct page page = {.root = "ListPartsResult", .group = "/Part"};
    enum s3_next next = read_page(call, rsp, &page, err);
    for (size_t i = 0; next == S3_DONE && i < page.n; i++) {
        const struct entry *e = &page.entries[i];
        uint32_t crc = 0;
        bool has_crc = e->crc32c && crc32c_parse(e->crc32c, &crc) == 0;
        if (e->number < 1 || e->size < 0 || !e->etag || strlen(e->etag) >= S3_ETAG_SIZE)
            next = s3_call_nonsense(call, "a part has no usable PartNumber, Size or ETag", err);
        else
            call->each_part(call->arg, (uint32_t)e->number, (uint64_t)e->size, e->etag,
                            has_crc ? &crc : NULL);
    }
    if (next == S3_DONE && page.truncated) {
        next = s3_call_turn_page(call, page.next_number, page.n, err);
        parts_query(call);
    }
    page_release(&page);
    return next;
}

struct s3_call *s3_list_parts(struct s3 *s3, const char *key, const char *upload_id,
                              s3_part_fn *each, s3_done_fn *done, void *arg)
{
    struct s3_call *call = s3_call_new(s3, "ListParts", "GET", key, done, arg);
    call->prefix = xstrdup(upload_id);
    call->answer_max = XML_SIZE_MAX;
    call->each_part = each;
    call->on_answer = read_parts;
    parts_query(call);
    return s3_call_start(call);
}

/* ---- ListMultipartUploads ---- */

static void uploads_query(struct s3_call *call, const char *key, const char *upload_id)
{
    buf_clear(&call->query);
    /* No encoding-type: Ceph then encodes, and does not say so. */
    s3_call_query(call, "uploads", "");
    if (*call->prefix)
        s3_call_query(call, "prefix", call->prefix);
    if (key) {
        s3_call_query(call, "key-marker", key);
        s3_call_query(call, "upload-id-marker", upload_id);
    }
}

static enum s3_next next_uploads(struct s3_call *call, struct page *page, struct err *err)
{
    const char *key = page->next_key ? page->next_key : "";
    const char *id = page->next_id ? page->next_id : "";
    /* The key may stay the same from page to page (many uploads of one key): a circle is looked for
     * in both. */
    char *both = xprintf("%s\n%s", key, id);
    enum s3_next next = s3_call_turn_page(call, *key ? both : NULL, page->n, err);
    if (next == S3_AGAIN)
        uploads_query(call, key, id);
    free(both);
    return next;
}

static enum s3_next read_uploads(struct s3_call *call, const struct http_response *rsp,
                                 struct err *err)
{
    struct page page = {.root = "ListMultipartUploadsResult", .group = "/Upload"};
    enum s3_next next = read_page(call, rsp, &page, err);
    for (size_t i = 0; next == S3_DONE && i < page.n; i++) {
        const struct entry *e = &page.entries[i];
        int64_t started_ms = 0;
        if (e->key && e->upload_id && e->initiated &&
            date_parse_iso8601(e->initiated, &started_ms) == 0)
            call->each_upload(call->arg, e->key, e->upload_id, started_ms);
    }
    if (next == S3_DONE && page.truncated)
        next = next_uploads(call, &page, err);
    page_release(&page);
    return next;
}

struct s3_call *s3_list_uploads(struct s3 *s3, const char *prefix, s3_upload_fn *each,
                                s3_done_fn *done, void *arg)
{
    struct s3_call *call = s3_call_new(s3, "ListMultipartUploads", "GET", NULL, done, arg);
    call->prefix = xstrdup(prefix);
    call->answer_max = XML_SIZE_MAX;
    call->each_upload = each;
    call->on_answer = read_uploads;
    uploads_query(call, NULL, NULL);
    return s3_call_start(call);
}
