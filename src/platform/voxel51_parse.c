/* SPDX-License-Identifier: Apache-2.0
 *
 * voxel51_parse: see voxel51_parse.h. What is known about the answers, and how little of it is
 * certain, is in the platform API notes, sections 3 to 5: everything but id and state may be
 * missing, null, or of another type.
 */
#include "platform/voxel51_parse.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/clock.h"
#include "core/crc32c.h"
#include "core/mem.h"
#include "core/text.h"

enum {
    NAME_MAX_BYTES = 8192,       /* of a job or a file: more than any store takes as a key */
    WORD_MAX_BYTES = 64,         /* of a state or a failure type */
    ROW_MAX_BYTES = 1024 * 1024, /* of one job in a list */
    HEADER_VALUE_MAX = 255,
};

/* Numbers as doubles: a count too large for 64 bits in a field of no concern is no error. */
static json_t *load(const char *body, size_t len)
{
    json_error_t ignored;
    return json_loadb(body, len, JSON_DECODE_INT_AS_REAL, &ignored);
}

/* ---- job details ---- */

/* The first of the members that is a string, else "". */
static const char *text_of(json_t *object, const char *name, const char *older_name)
{
    const char *s = json_string_value(json_object_get(object, name));
    if (!s && older_name)
        s = json_string_value(json_object_get(object, older_name));
    return s ? s : "";
}

/* Copy of at most `max` bytes, cut between characters. */
static char *copy_text(const char *s, size_t max)
{
    size_t len = strnlen(s, max + 1);
    if (len > max)
        for (len = max; len > 0 && ((unsigned char)s[len] & 0xc0) == 0x80; len--)
            ;
    return xstrndup(s, len);
}

static char *copy_word(const char *s)
{
    char *word = copy_text(s, WORD_MAX_BYTES);
    text_make_printable(word);
    return word;
}

/* Unix time, or 0 for a date that is absent, null or unreadable. */
static int64_t date_of(json_t *object, const char *name)
{
    int64_t ms;
    return date_parse_iso8601(text_of(object, name, NULL), &ms) == 0 ? ms : 0;
}

/* Booleans come as such or as 0 and 1; `otherwise` for anything else. */
static bool flag_of(json_t *value, bool otherwise)
{
    if (json_is_boolean(value))
        return json_is_true(value);
    if (json_is_number(value))
        return json_number_value(value) != 0;
    return otherwise;
}

/* What the details say besides id and state, which the caller has checked. */
static void fill_job(json_t *o, const char *id, const char *state, int64_t now_ms,
                     struct source_job *job)
{
    CHECK(strlen(id) <= JOB_ID_MAX);
    memcpy(job->id, id, strlen(id) + 1);
    job->name = copy_text(text_of(o, "name", NULL), NAME_MAX_BYTES);
    job->state_text = copy_word(state);
    job->state = strcmp(state, "COMPLETE") == 0 ? JOB_COMPLETE
                 : strcmp(state, "FAILED") == 0 ? JOB_FAILED
                                                : JOB_UNDERWAY;
    const char *failure = text_of(o, "failure_type", NULL);
    if (job->state == JOB_FAILED && *failure && strcmp(failure, "NONE") != 0)
        job->failure = copy_word(failure);
    job->expires_ms = date_of(o, "expiration_date");
    job->completed_ms = date_of(o, "completion_date");
    job->expired =
        flag_of(json_object_get(o, "expired"), job->expires_ms != 0 && job->expires_ms <= now_ms);
    job->n_outputs = 1;
    job->outputs = xcalloc(1, sizeof(job->outputs[0]));
    job->outputs[0].name = copy_text(text_of(o, "output_filename", "filename"), NAME_MAX_BYTES);
    job->outputs[0].size = -1;
}

static int parse_details(json_t *o, const char *id, int64_t now_ms, struct source_job *job,
                         struct err *err)
{
    const char *state = text_of(o, "state", NULL);
    if (strcmp(text_of(o, "id", NULL), id) != 0)
        return err_set(err, ERR_PROTOCOL,
                       "the Platform's details are of another job than asked for, or of none");
    if (!*state)
        return err_set(err, ERR_PROTOCOL, "the Platform's details of the job have no state");
    fill_job(o, id, state, now_ms, job);
    return 0;
}

int voxel51_parse_job(const char *body, size_t len, const char *id, int64_t now_ms,
                      struct source_job *job, struct err *err)
{
    json_t *root = load(body, len);
    json_t *details = json_object_get(root, "job");
    int rc;
    if (json_is_object(details))
        rc = parse_details(details, id, now_ms, job, err);
    else
        rc = err_set(err, ERR_PROTOCOL, "expected JSON with the details of the job");
    json_decref(root);
    return rc;
}

/* ---- errors ---- */

static void copy_message(json_t *error, char message[VOXEL51_MESSAGE_SIZE])
{
    char *text = copy_text(text_of(error, "message", NULL), VOXEL51_MESSAGE_SIZE - 1);
    text_make_printable(text);
    memcpy(message, text, strlen(text) + 1);
    free(text);
}

bool voxel51_parse_error(const char *body, size_t len, char message[VOXEL51_MESSAGE_SIZE])
{
    json_t *root = load(body, len);
    json_t *error = json_object_get(root, "error");
    bool found = json_is_object(error);
    copy_message(error, message);
    json_decref(root);
    return found;
}

/* ---- batch ---- */

static void parse_answer(json_t *entry, int64_t now_ms, struct voxel51_answer *answer)
{
    json_t *error = json_object_get(entry, "error");
    /* Servers before 2020-01-06 sent no `success`. */
    bool success = flag_of(json_object_get(entry, "success"), !error || json_is_null(error));
    if (success) {
        struct err ignored = {0};
        if (parse_details(json_object_get(entry, "response"), answer->id, now_ms, answer->job,
                          &ignored) == 0)
            answer->result = VOXEL51_JOB;
        return;
    }
    double code = json_number_value(json_object_get(error, "code"));
    if (code >= 400 && code <= 599) {
        answer->result = VOXEL51_REFUSED;
        answer->status = (int)code;
        copy_message(error, answer->message);
    }
}

int voxel51_parse_batch(const char *body, size_t len, int64_t now_ms,
                        struct voxel51_answer *answers, size_t n, struct err *err)
{
    json_t *root = load(body, len);
    json_t *responses = json_object_get(root, "responses");
    int rc = 0;
    if (!json_is_object(responses))
        rc = err_set(err, ERR_PROTOCOL, "expected JSON with `responses` by job id");
    for (size_t i = 0; rc == 0 && i < n; i++) {
        answers[i].result = VOXEL51_UNSAID;
        json_t *entry = json_object_get(responses, answers[i].id);
        if (json_is_object(entry))
            parse_answer(entry, now_ms, &answers[i]);
    }
    json_decref(root);
    return rc;
}

/* ---- lists ---- */

/* A list may be long, so that it is not read into one tree: it is walked, and each job read by
 * itself. One that cannot be read is then just that one. */

static const char *skip_space(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r'))
        p++;
    return p;
}

/* All four: past it, or NULL when it is not there whole. */

static const char *skip_char(const char *p, const char *end, char c)
{
    p = skip_space(p, end);
    return p < end && *p == c ? p + 1 : NULL;
}

static const char *skip_string(const char *p, const char *end)
{
    for (p++; p < end && *p != '"'; p++)
        if (*p == '\\' && ++p == end)
            return NULL;
    return p < end ? p + 1 : NULL;
}

static const char *skip_word(const char *p, const char *end)
{
    const char *start = p;
    while (p < end && !strchr(" \t\r\n,:[]{}\"", *p))
        p++;
    return p > start ? p : NULL;
}

static const char *skip_value(const char *p, const char *end)
{
    size_t depth = 0;
    do {
        p = skip_space(p, end);
        if (p == end)
            return NULL;
        if (*p == '{' || *p == '[') {
            depth++;
            p++;
        } else if (depth > 0 && strchr("}],:", *p) && *p) {
            depth -= *p == '}' || *p == ']';
            p++;
        } else {
            p = *p == '"' ? skip_string(p, end) : skip_word(p, end);
        }
    } while (p && depth > 0);
    return p;
}

/* The id, if it is one. jansson's strings may hold NULs here: what is before one is no id. */
static const char *id_of(json_t *row)
{
    json_t *id = json_object_get(row, "id");
    const char *text = json_string_value(id);
    return text && strlen(text) == json_string_length(id) && job_id_is_valid(text) ? text : NULL;
}

static void tell_row(const char *text, size_t len, int64_t now_ms, voxel51_row_fn *each, void *arg)
{
    json_t *row = NULL;
    if (len <= ROW_MAX_BYTES)
        row = json_loadb(text, len, JSON_DECODE_INT_AS_REAL | JSON_ALLOW_NUL, NULL);
    const char *id = id_of(row);
    struct source_job job = {0};
    if (id)
        fill_job(row, id, text_of(row, "state", NULL), now_ms, &job);
    json_decref(row);
    each(arg, id ? &job : NULL);
    source_job_release(&job);
}

static const char *walk_rows(const char *p, const char *end, int64_t now_ms, voxel51_row_fn *each,
                             void *arg)
{
    const char *next = skip_char(p, end, '[');
    if (!next || skip_char(next, end, ']'))
        return next ? skip_char(next, end, ']') : NULL;
    do {
        p = skip_space(next, end);
        next = skip_value(p, end);
        if (!next)
            return NULL;
        tell_row(p, (size_t)(next - p), now_ms, each, arg);
        p = next;
    } while ((next = skip_char(p, end, ',')));
    return skip_char(p, end, ']');
}

/* A member, whether it is the list; NULL when it is none. */
static const char *walk_member(const char *p, const char *end, int64_t now_ms, bool *found,
                               voxel51_row_fn *each, void *arg)
{
    const char *name = skip_space(p, end);
    p = name < end && *name == '"' ? skip_string(name, end) : NULL;
    bool is_list = p && p - name == 6 && memcmp(name, "\"jobs\"", 6) == 0;
    p = p ? skip_char(p, end, ':') : NULL;
    *found |= is_list;
    if (!p)
        return NULL;
    return is_list ? walk_rows(p, end, now_ms, each, arg) : skip_value(p, end);
}

int voxel51_parse_list(const char *body, size_t len, int64_t now_ms, voxel51_row_fn *each,
                       void *arg, struct err *err)
{
    const char *end = body + len, *next = skip_char(body, end, '{'), *p = next;
    bool found = false;
    while (next && (p = walk_member(next, end, now_ms, &found, each, arg)))
        next = skip_char(p, end, ',');
    p = p ? skip_char(p, end, '}') : NULL;
    if (!found || !p || skip_space(p, end) != end)
        return err_set(err, ERR_PROTOCOL, "expected JSON with a list of `jobs`");
    return 0;
}

/* ---- signed URLs ---- */

char *voxel51_parse_url(const char *body, size_t len)
{
    json_t *root = load(body, len);
    const char *url = text_of(root, "url", NULL);
    char *copy = *url ? xstrdup(url) : NULL;
    json_decref(root);
    return copy;
}

/* ---- header values ---- */

/* Decimal digits at *p. */
static bool number(const char **p, int64_t *n)
{
    char text[20];
    size_t len = strspn(*p, "0123456789");
    if (len >= sizeof(text))
        return false;
    memcpy(text, *p, len);
    text[len] = '\0';
    *p += len;
    return text_parse_int(text, 0, INT64_MAX, n) == 0;
}

int voxel51_parse_range(const char *value, struct voxel51_range *range)
{
    if (strncasecmp(value, "bytes ", 6) != 0)
        return -1;
    const char *p = value + 6;
    struct voxel51_range r = {.total = -1};
    if (!number(&p, &r.first) || *p++ != '-' || !number(&p, &r.last) || *p++ != '/')
        return -1;
    if (*p == '*')
        p++;
    else if (!number(&p, &r.total) || r.total <= r.last)
        return -1;
    if (*p || r.last < r.first)
        return -1;
    *range = r;
    return 0;
}

/* Keeps the value, and notes when another was there. */
static void keep_hash(struct voxel51_hashes *hashes, char *out, const char *value)
{
    if (*out && strcmp(out, value) != 0)
        hashes->contradictory = true;
    memcpy(out, value, strlen(value) + 1);
}

/* Digest's registry writes CRC32C as hexadecimal. */
static bool crc_from_hex(const char *value, char out[CRC32C_TEXT_SIZE])
{
    char *end;
    if (strspn(value, "0123456789abcdefABCDEF") != 8)
        return false;
    crc32c_format((uint32_t)strtoul(value, &end, 16), out);
    return *end == '\0';
}

void voxel51_add_hash(struct voxel51_hashes *hashes, const char *name, size_t name_len,
                      const char *value, size_t len)
{
    const struct {
        const char *name;
        char *out;
        int bytes;
    } known[] = {
        {"crc32c", hashes->crc32c, 4},
        {"md5", hashes->md5, 16},
        {"sha-256", hashes->sha256, 32},
    };
    char text[sizeof(hashes->sha256)], hex[CRC32C_TEXT_SIZE];
    unsigned char raw[sizeof(hashes->sha256)];
    if (len >= sizeof(text))
        return;
    memcpy(text, value, len);
    text[len] = '\0';
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (name_len != strlen(known[i].name) || strncasecmp(name, known[i].name, name_len) != 0)
            continue;
        if (text_unbase64(text, len, raw) == known[i].bytes)
            keep_hash(hashes, known[i].out, text);
        else if (known[i].bytes == 4 && crc_from_hex(text, hex))
            keep_hash(hashes, known[i].out, hex);
    }
}

void voxel51_add_hashes(struct voxel51_hashes *hashes, const char *value)
{
    while (*value) {
        value += strspn(value, " \t,");
        size_t name_len = strcspn(value, "=,");
        const char *name = value;
        value += name_len;
        if (*value != '=')
            continue;
        value++;
        value += strspn(value, ":");
        size_t len = strcspn(value, " \t,:;");
        voxel51_add_hash(hashes, name, name_len, value, len);
        value += len;
        value += strcspn(value, ",");
    }
}

const char *voxel51_clean_value(const char *value)
{
    if (!value || !*value || strlen(value) > HEADER_VALUE_MAX)
        return NULL;
    for (const char *p = value; *p; p++)
        if (*p < ' ' || *p > '~')
            return NULL;
    return value;
}

const char *voxel51_strong_etag(const char *value)
{
    value = voxel51_clean_value(value);
    if (!value || value[0] != '"')
        return NULL;
    size_t len = strlen(value);
    return len >= 3 && strchr(value + 1, '"') == value + len - 1 ? value : NULL;
}
