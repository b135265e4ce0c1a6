/* SPDX-License-Identifier: Apache-2.0 */
#include "transfer/receipt.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/crc32c.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/text.h"
#include "transfer/key.h"

enum { HOPS_MAX = 1000000 }; /* each stores a part at least, so there are fewer */

static const char *const state_names[] = {
    [RECEIPT_STORED] = "stored", [RECEIPT_UPLOADING] = "uploading"};

char *receipt_prefix(const char *source)
{
    return xprintf(KEY_RESERVED "%s/", source);
}

static char *key_of(const char *source, const char *job, const char *suffix)
{
    return xprintf(KEY_RESERVED "%s/%s%s", source, job, suffix);
}

/* The job of a key that key_of() made. */
static bool job_of(const char *key, const char *source, const char *suffix,
                   char job[JOB_ID_MAX + 1])
{
    const size_t suffix_len = strlen(suffix);
    size_t len = strlen(key), prefix_len = strlen(KEY_RESERVED) + strlen(source) + 1;
    if (len <= prefix_len + suffix_len || len > prefix_len + JOB_ID_MAX + suffix_len)
        return false;
    size_t job_len = len - prefix_len - suffix_len;
    memcpy(job, key + prefix_len, job_len);
    job[job_len] = '\0';
    char *expected = key_of(source, job, suffix);
    bool same = strcmp(key, expected) == 0 && job_id_is_valid(job);
    free(expected);
    return same;
}

#define RECEIPT_SUFFIX ".json"
#define MARKER_SUFFIX  ".uploading"

char *receipt_key(const char *source, const char *job)
{
    return key_of(source, job, RECEIPT_SUFFIX);
}

bool receipt_key_job(const char *key, const char *source, char job[JOB_ID_MAX + 1])
{
    return job_of(key, source, RECEIPT_SUFFIX, job);
}

char *receipt_marker_key(const char *source, const char *job)
{
    return key_of(source, job, MARKER_SUFFIX);
}

bool receipt_marker_job(const char *key, const char *source, char job[JOB_ID_MAX + 1])
{
    return job_of(key, source, MARKER_SUFFIX, job);
}

void receipt_upload_release(struct receipt_upload *u)
{
    free(u->key);
    free(u->id);
    free(u->attempt);
    free(u->validator);
    free(u->content_type);
    free(u->content_encoding);
    free(u->crcs);
    *u = (struct receipt_upload){0};
}

void receipt_release(struct receipt *r)
{
    for (size_t i = 0; i < r->n_outputs; i++) {
        free(r->outputs[i].name);
        free(r->outputs[i].key);
        free(r->outputs[i].content_type);
        free(r->outputs[i].validator);
        free(r->outputs[i].etag);
    }
    free(r->outputs);
    if (r->upload)
        receipt_upload_release(r->upload);
    free(r->upload);
    free(r->source);
    free(r->job_name);
    free(r->program);
    *r = (struct receipt){0};
}

/* ---- writing ---- */

static void add_text(struct buf *out, const char *name, const char *value)
{
    if (!value)
        return;
    buf_printf(out, ",\"%s\":", name);
    text_json_quote(out, value);
}

static void add_date(struct buf *out, const char *name, int64_t unix_ms)
{
    char text[DATE_TEXT_SIZE];
    if (unix_ms == 0)
        return;
    date_format_iso8601(unix_ms, text);
    add_text(out, name, text);
}

static void format_output(const struct receipt_output *o, struct buf *out)
{
    buf_str_append(out, "{\"name\":");
    text_json_quote(out, o->name);
    add_text(out, "key", o->key);
    buf_printf(out, ",\"size\":%llu", (unsigned long long)o->size);
    if (o->has_crc32c) {
        char crc[CRC32C_TEXT_SIZE];
        crc32c_format(o->crc32c, crc);
        add_text(out, "crc32c", crc);
    }
    add_text(out, "content_type", o->content_type);
    add_text(out, "validator", o->validator);
    add_text(out, "etag", o->etag);
    buf_byte(out, '}');
}

static void format_upload(const struct receipt_upload *u, struct buf *out)
{
    char crc[CRC32C_TEXT_SIZE];
    buf_str_append(out, ",\"upload\":{\"key\":");
    text_json_quote(out, u->key);
    add_text(out, "id", u->id);
    add_text(out, "attempt", u->attempt);
    if (u->layout.size >= 0)
        buf_printf(out, ",\"size\":%lld", (long long)u->layout.size);
    buf_str_append(out, ",\"layout\":[");
    for (int i = 0; i < PLAN_TIERS_MAX && u->layout.tiers[i].parts; i++)
        buf_printf(out, "%s[%llu,%u]", i ? "," : "",
                   (unsigned long long)u->layout.tiers[i].part_bytes, u->layout.tiers[i].parts);
    buf_byte(out, ']');
    add_text(out, "validator", u->validator);
    add_text(out, "content_type", u->content_type);
    add_text(out, "content_encoding", u->content_encoding);
    add_date(out, "started", u->started_ms);
    add_date(out, "written", u->written_ms);
    buf_printf(out, ",\"hops\":%u", u->hops);
    buf_str_append(out, ",\"crc32c\":[");
    for (uint32_t i = 0; i < u->n_crcs; i++) {
        crc32c_format(u->crcs[i], crc);
        buf_printf(out, "%s\"%s\"", i ? "," : "", crc);
    }
    buf_str_append(out, "]}");
}

int receipt_format(const struct receipt *r, struct buf *out, struct err *err)
{
    buf_printf(out, "{\"version\":%d", RECEIPT_VERSION);
    add_text(out, "state", state_names[r->state]);
    add_text(out, "source", r->source);
    add_text(out, "job", r->job);
    add_text(out, "job_name", r->job_name);
    buf_str_append(out, ",\"outputs\":[");
    for (size_t i = 0; i < r->n_outputs; i++) {
        buf_str_append(out, i ? "," : "");
        format_output(&r->outputs[i], out);
    }
    buf_str_append(out, "]");
    if (r->upload)
        format_upload(r->upload, out);
    add_date(out, "completed", r->completed_ms);
    add_date(out, "expires", r->expires_ms);
    add_date(out, "stored", r->stored_ms);
    add_text(out, "program", r->program);
    buf_str_append(out, "}\n");
    if (buf_overflowed(out))
        return err_set(err, ERR_TOO_LARGE, "job %s: its receipt is over %zu bytes", r->job,
                       out->cap);
    return 0;
}

/* ---- reading ---- */

/* A member that is a string; *out is NULL when it is missing or null, and that is allowed. */
static int read_text(const json_t *object, const char *name, bool needed, char **out,
                     struct err *err)
{
    const json_t *value = json_object_get(object, name);
    if (!needed && (!value || json_is_null(value)))
        return 0;
    if (!json_is_string(value))
        return err_set(err, ERR_INPUT, "\"%s\" is %s; expected a string", name,
                       value ? "not a string" : "missing");
    *out = xstrdup(json_string_value(value));
    return 0;
}

static int read_date(const json_t *object, const char *name, bool needed, int64_t *unix_ms,
                     struct err *err)
{
    char *text = NULL;
    if (read_text(object, name, needed, &text, err) < 0)
        return -1;
    int rc = 0;
    if (text && date_parse_iso8601(text, unix_ms) < 0)
        rc = err_set(err, ERR_INPUT,
                     "\"%s\" is \"%.40s\"; expected a date like 2020-01-20T15:09:42.000Z", name,
                     text);
    free(text);
    return rc;
}

static int read_crc32c(const json_t *object, struct receipt_output *o, struct err *err)
{
    char *text = NULL;
    if (read_text(object, "crc32c", false, &text, err) < 0)
        return -1;
    int rc = 0;
    if (text && crc32c_parse(text, &o->crc32c) < 0)
        rc = err_set(err, ERR_INPUT, "\"crc32c\" is \"%.16s\"; expected 8 characters of base64",
                     text);
    o->has_crc32c = text && rc == 0;
    free(text);
    return rc;
}

static int read_output(const json_t *object, struct receipt_output *o, struct err *err)
{
    if (!json_is_object(object))
        return err_set(err, ERR_INPUT, "not an object");
    const json_t *size = json_object_get(object, "size");
    if (!json_is_integer(size) || json_integer_value(size) < 0)
        return err_set(err, ERR_INPUT, "\"size\" is not a number of bytes");
    o->size = (uint64_t)json_integer_value(size);
    if (read_text(object, "name", true, &o->name, err) < 0 ||
        read_text(object, "key", true, &o->key, err) < 0 ||
        read_text(object, "content_type", false, &o->content_type, err) < 0 ||
        read_text(object, "validator", false, &o->validator, err) < 0 ||
        read_text(object, "etag", false, &o->etag, err) < 0 || read_crc32c(object, o, err) < 0)
        return -1;
    size_t len = strlen(o->key);
    if (len == 0 || len > KEY_MAX || key_is_reserved(o->key) || key_has_control(o->key))
        return err_set(err, ERR_INPUT, "\"key\" is not the key of an object: \"%.100s\"", o->key);
    return 0;
}

static int read_outputs(const json_t *list, struct receipt *r, struct err *err)
{
    size_t n = json_array_size(list);
    if (!json_is_array(list) || (n == 0 && r->state == RECEIPT_STORED) || n > RECEIPT_OUTPUTS_MAX)
        return err_set(err, ERR_INPUT, "\"outputs\" is not a list of 1 to %d outputs",
                       RECEIPT_OUTPUTS_MAX);
    r->outputs = xcalloc(n, sizeof(*r->outputs));
    r->n_outputs = n;
    for (size_t i = 0; i < n; i++) {
        if (read_output(json_array_get(list, i), &r->outputs[i], err) < 0) {
            err_prefix(err, "output %zu", i + 1);
            return -1;
        }
    }
    return 0;
}

static int read_tiers(const json_t *list, struct plan_layout *layout, struct err *err)
{
    size_t n = json_array_size(list);
    uint64_t total = 0;
    if (n < 1 || n > PLAN_TIERS_MAX)
        return err_set(err, ERR_INPUT, "\"layout\" is not a list of 1 to %d tiers", PLAN_TIERS_MAX);
    for (size_t i = 0; i < n; i++) {
        const json_t *tier = json_array_get(list, i);
        json_int_t bytes = json_integer_value(json_array_get(tier, 0));
        json_int_t parts = json_integer_value(json_array_get(tier, 1));
        if (bytes < 1 || bytes > (json_int_t)1 << 40 || parts < 1 || parts > PLAN_PARTS_MAX)
            return err_set(err, ERR_INPUT, "\"layout\" has a tier that cannot be");
        layout->tiers[i] = (struct plan_tier){(uint64_t)bytes, (uint32_t)parts};
        total += (uint64_t)parts;
    }
    if (total > PLAN_PARTS_MAX)
        return err_set(err, ERR_INPUT, "\"layout\" has over %d parts", PLAN_PARTS_MAX);
    return 0;
}

static int read_crcs(const json_t *list, struct receipt_upload *u, struct err *err)
{
    size_t n = json_array_size(list);
    if (!json_is_array(list) || n > PLAN_PARTS_MAX)
        return err_set(err, ERR_INPUT, "\"crc32c\" is not a list of at most %d", PLAN_PARTS_MAX);
    u->crcs = xcalloc(n, sizeof(u->crcs[0]));
    for (; u->n_crcs < n; u->n_crcs++) {
        const char *text = json_string_value(json_array_get(list, u->n_crcs));
        if (!text || crc32c_parse(text, &u->crcs[u->n_crcs]) < 0)
            return err_set(err, ERR_INPUT, "\"crc32c\" has what is no CRC32C");
    }
    return 0;
}

static int read_upload(const json_t *object, struct receipt *r, struct err *err)
{
    if (!json_is_object(object))
        return err_set(err, ERR_INPUT, "\"upload\" is not an object");
    struct receipt_upload *u = r->upload = xcalloc(1, sizeof(*u));
    const json_t *size = json_object_get(object, "size");
    if (size && (!json_is_integer(size) || json_integer_value(size) < 0))
        return err_set(err, ERR_INPUT, "\"size\" is not a number of bytes");
    u->layout.size = size ? json_integer_value(size) : -1;
    json_int_t hops = json_integer_value(json_object_get(object, "hops"));
    if (hops < 0 || hops > HOPS_MAX)
        return err_set(err, ERR_INPUT, "\"hops\" is not a number of 0 to %d", HOPS_MAX);
    u->hops = (uint32_t)hops;
    if (read_text(object, "key", true, &u->key, err) < 0 ||
        read_text(object, "id", true, &u->id, err) < 0 ||
        read_text(object, "attempt", true, &u->attempt, err) < 0 ||
        read_text(object, "validator", true, &u->validator, err) < 0 ||
        read_text(object, "content_type", false, &u->content_type, err) < 0 ||
        read_text(object, "content_encoding", false, &u->content_encoding, err) < 0 ||
        read_date(object, "started", true, &u->started_ms, err) < 0 ||
        read_date(object, "written", false, &u->written_ms, err) < 0 ||
        read_tiers(json_object_get(object, "layout"), &u->layout, err) < 0 ||
        read_crcs(json_object_get(object, "crc32c"), u, err) < 0)
        return -1;
    if (!*u->id || strlen(u->attempt) >= SINK_ATTEMPT_SIZE)
        return err_set(err, ERR_INPUT, "\"id\" or \"attempt\" is not what egress writes there");
    return 0;
}

/* Version, state and whose receipt it is. */
static int read_head(const json_t *root, const char *source, const char *job, struct receipt *r,
                     struct err *err)
{
    const json_t *version = json_object_get(root, "version");
    if (!json_is_integer(version))
        return err_set(err, ERR_INPUT, "\"version\" is not a number");
    if (json_integer_value(version) != RECEIPT_VERSION)
        return err_set(err, ERR_INPUT,
                       "it is of version %lld, but this egress reads version %d only",
                       (long long)json_integer_value(version), RECEIPT_VERSION);
    const char *state = json_string_value(json_object_get(root, "state"));
    if (state && strcmp(state, state_names[RECEIPT_UPLOADING]) == 0)
        r->state = RECEIPT_UPLOADING;
    else if (!state || strcmp(state, state_names[RECEIPT_STORED]) != 0)
        return err_set(err, ERR_INPUT, "\"state\" is not \"%s\" and not \"%s\"",
                       state_names[RECEIPT_STORED], state_names[RECEIPT_UPLOADING]);
    const char *got_source = json_string_value(json_object_get(root, "source"));
    const char *got_job = json_string_value(json_object_get(root, "job"));
    if (!got_source || !got_job || strcmp(got_source, source) != 0 || strcmp(got_job, job) != 0)
        return err_set(err, ERR_INPUT, "it is of job %.128s of %.31s, not of job %s of %s",
                       got_job ? got_job : "(none)", got_source ? got_source : "(none)", job,
                       source);
    r->source = xstrdup(source);
    snprintf(r->job, sizeof(r->job), "%s", job);
    return 0;
}

static int read_receipt(const void *data, size_t len, const char *source, const char *job,
                        struct receipt *r, struct err *err)
{
    if (len > RECEIPT_BYTES_MAX)
        return err_set(err, ERR_INPUT, "%zu bytes long; expected at most %d", len,
                       RECEIPT_BYTES_MAX);
    json_error_t why;
    json_t *root = json_loadb(len ? data : "", len, JSON_REJECT_DUPLICATES, &why);
    if (!root)
        return json_refused(err, "it", &why);
    int rc = read_head(root, source, job, r, err);
    if (rc == 0 && (read_text(root, "job_name", false, &r->job_name, err) < 0 ||
                    read_text(root, "program", true, &r->program, err) < 0 ||
                    read_date(root, "completed", false, &r->completed_ms, err) < 0 ||
                    read_date(root, "expires", false, &r->expires_ms, err) < 0 ||
                    read_date(root, "stored", r->state == RECEIPT_STORED, &r->stored_ms, err) < 0 ||
                    read_outputs(json_object_get(root, "outputs"), r, err) < 0))
        rc = -1;
    if (rc == 0 && r->state == RECEIPT_UPLOADING)
        rc = read_upload(json_object_get(root, "upload"), r, err);
    json_decref(root);
    return rc;
}

int receipt_parse(const void *data, size_t len, const char *source, const char *job,
                  struct receipt *r, struct err *err)
{
    struct receipt got = {0};
    if (read_receipt(data, len, source, job, &got, err) < 0) {
        receipt_release(&got);
        return err_set(err, ERR_INPUT,
                       "receipt " KEY_RESERVED "%s/%s.json: %s; a fetch of the job writes it anew",
                       source, job, err->msg);
    }
    *r = got;
    return 0;
}
