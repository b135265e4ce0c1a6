/* SPDX-License-Identifier: Apache-2.0
 *
 * doctor_s3_try: writes probes into the bucket, as transfers write outputs, and takes them away.
 */
#include <stdlib.h>
#include <string.h>

#include "core/crc32c.h"
#include "core/mem.h"
#include "doctor/doctor_s3.h"

#define MIB ((size_t)1 << 20)

enum { FOUND_MAX = 8 };

static struct s3_object object_of(const struct doctor_s3 *p, int which, bool if_absent)
{
    return (struct s3_object){
        .key = p->keys[which], .content_type = "text/plain", .if_none_match = if_absent};
}

static void put(struct doctor_s3 *p, int which, bool if_absent, uint32_t crc, s3_done_fn *done)
{
    const struct s3_object object = object_of(p, which, if_absent);
    p->begun[which] = p->makes = true;
    p->call = s3_put(p->s3, &object, p->text, strlen(p->text), crc, NULL, done, p);
}

/* A refusal of what was asked for, and not just no answer. */
static bool is_refusal(const struct doctor_s3 *p, const struct err *err)
{
    bool busy = err->code == ERR_HTTP && err_is_retryable(err);
    return err->code != ERR_CANCELLED && !busy &&
           ((p->status >= 400 && p->status < 500) || p->status == 501);
}

static bool without_checksums(struct doctor *d, const struct doctor_s3 *p)
{
    if (p->config.no_checksum)
        doctor_skip(d, "leave that out to have it tried", "switched off by --checksum none");
    return p->config.no_checksum;
}

static bool without_conditions(struct doctor *d, const struct doctor_s3 *p)
{
    if (p->config.no_conditions)
        doctor_skip(d, "leave that out to have it tried",
                    "switched off by --conditional-writes off");
    return p->config.no_conditions;
}

/* ---- one object ---- */

static void on_written(void *arg, const struct err *err)
{
    struct doctor_s3 *p = arg;
    p->call = NULL;
    if (!err)
        doctor_ok(p->d, "allowed: s3://%s/%s", p->config.bucket, p->keys[PROBE]);
    else if (is_refusal(p, err) && err->code != ERR_AUTH && !p->config.no_checksum)
        doctor_fail(p->d, err, "try --checksum none, if this store does not know x-amz-checksum-*");
    else
        doctor_fail(p->d, err, NULL);
}

void doctor_s3_write(struct doctor *d, void *part)
{
    struct doctor_s3 *p = part;
    (void)d;
    snprintf(p->text, sizeof(p->text), "Written by egress doctor to see whether it can; %s\n",
             "it may be deleted.");
    p->crc32c = crc32c(0, p->text, strlen(p->text));
    put(p, PROBE, false, p->crc32c, on_written);
}

static int keep_back(void *arg, const void *data, size_t len)
{
    struct doctor_s3 *p = arg;
    buf_append(&p->back, data, len);
    return 0;
}

static void on_read(void *arg, const struct err *err)
{
    struct doctor_s3 *p = arg;
    struct err differs = {0};
    p->call = NULL;
    if (!err && (buf_overflowed(&p->back) || strcmp(buf_str(&p->back), p->text) != 0))
        err_set(&differs, ERR_INTEGRITY, "what came back of s3://%s/%s is not what was written",
                p->config.bucket, p->keys[PROBE]);
    if (err)
        doctor_fail(p->d, err, NULL);
    else if (differs.code != ERR_NONE)
        doctor_fail(p->d, &differs, "do not use this store; is something in between changing it?");
    else
        doctor_ok(p->d, "allowed, and the same bytes come back");
}

void doctor_s3_read(struct doctor *d, void *part)
{
    struct doctor_s3 *p = part;
    (void)d;
    p->makes = false;
    p->call = s3_get(p->s3, p->keys[PROBE], keep_back, on_read, p);
}

/* ---- checksums ---- */

static void on_headed(void *arg, const struct err *err)
{
    struct doctor_s3 *p = arg;
    p->call = NULL;
    if (err)
        doctor_fail(p->d, err, NULL);
    else if (p->info.has_crc32c && p->info.crc32c == p->crc32c)
        doctor_ok(p->d, "the store tells an object's CRC32C");
    else
        doctor_warn(p->d, "run egress verify without --quick, which then compares sizes only",
                    "the store tells no CRC32C of an object");
}

void doctor_s3_checksum_kept(struct doctor *d, void *part)
{
    struct doctor_s3 *p = part;
    if (without_checksums(d, p))
        return;
    p->makes = false;
    p->call = s3_head(p->s3, p->keys[PROBE], &p->info, on_headed, p);
}

static void on_wrong(void *arg, const struct err *err)
{
    struct doctor_s3 *p = arg;
    p->call = NULL;
    if (!err)
        doctor_warn(p->d,
                    "use https, which protects what is on its way, and egress verify for what is "
                    "there",
                    "the store took an object with a wrong CRC32C: it does not check them");
    else if (err->code == ERR_INTEGRITY || is_refusal(p, err))
        doctor_ok(p->d, "an object with a wrong CRC32C is refused");
    else
        doctor_fail(p->d, err, NULL);
}

void doctor_s3_checksum_checked(struct doctor *d, void *part)
{
    struct doctor_s3 *p = part;
    if (!without_checksums(d, p))
        put(p, PROBE_WRONG, false, p->crc32c ^ 1, on_wrong);
}

/* ---- conditions ---- */

static void on_second_put(void *arg, const struct err *err)
{
    struct doctor_s3 *p = arg;
    p->call = NULL;
    if (!err)
        doctor_warn(p->d, "give --conditional-writes off, which looks before each write",
                    "the store ignores If-None-Match: of two writers at the same moment the later "
                    "one replaces the other's object");
    else if (err->code == ERR_EXISTS)
        doctor_ok(p->d, "a key that is taken is not overwritten");
    else
        doctor_fail(p->d, err, NULL);
}

void doctor_s3_put_if_absent(struct doctor *d, void *part)
{
    struct doctor_s3 *p = part;
    if (!without_conditions(d, p))
        put(p, PROBE, true, p->crc32c, on_second_put);
}

/* ---- multipart ---- */

static void end_upload(struct doctor_s3 *p, const struct err *err)
{
    p->call = NULL;
    if (!err) {
        p->open[p->upload] = false;
    }
    p->uploaded(p, err);
}

static void on_completed(void *arg, const struct err *err)
{
    end_upload(arg, err);
}

static void on_part(void *arg, const struct err *err);

static void send_part(struct doctor_s3 *p)
{
    size_t len = p->part_bytes[p->n_sent];
    p->call =
        s3_upload_part(p->s3, p->keys[p->upload], p->created[p->upload].upload_id, p->n_sent + 1,
                       p->block, len, crc32c(0, p->block, len), p->part_etag, on_part, p);
}

static void complete(struct doctor_s3 *p)
{
    const struct s3_object object = object_of(p, p->upload, p->upload == PROBE);
    const struct s3_parts parts = {
        .upload_id = p->created[p->upload].upload_id,
        .parts = p->parts,
        .n = p->n_parts,
        .size = p->whole_bytes,
        .crc32c = p->whole_crc32c,
    };
    p->call = s3_complete_upload(p->s3, &object, &parts, NULL, on_completed, p);
}

static void on_part(void *arg, const struct err *err)
{
    struct doctor_s3 *p = arg;
    const struct err cancelled = {.code = ERR_CANCELLED, .msg = "cancelled"};
    if (!err && doctor_cancelled(p->d))
        err = &cancelled;
    if (err) {
        end_upload(p, err);
        return;
    }
    size_t len = p->part_bytes[p->n_sent];
    uint32_t crc = crc32c(0, p->block, len);
    struct s3_part *part = &p->parts[p->n_sent++];
    free(part->etag);
    *part = (struct s3_part){xstrdup(p->part_etag), true, crc};
    p->whole_crc32c = crc32c_combine(p->whole_crc32c, crc, len);
    p->whole_bytes += len;
    if (p->n_sent < p->n_parts)
        send_part(p);
    else
        complete(p);
}

static void on_created(void *arg, const struct err *err)
{
    struct doctor_s3 *p = arg;
    p->lost[p->upload] = p->created[p->upload].lost > 0 || (err && err->code == ERR_CANCELLED);
    p->open[p->upload] = !err;
    if (err)
        end_upload(p, err);
    else
        send_part(p);
}

/* One of the probes by a multipart upload, that of PROBE only if its key is free. */
static void upload(struct doctor_s3 *p, int which, const size_t *sizes, uint32_t n,
                   s3_done_fn *uploaded)
{
    const struct s3_object object = object_of(p, which, false);
    size_t largest = 1;
    for (uint32_t i = 0; i < n; i++) {
        p->part_bytes[i] = sizes[i];
        largest = sizes[i] > largest ? sizes[i] : largest;
    }
    free(p->block);
    p->block = xcalloc(1, largest);
    p->upload = which;
    p->uploaded = uploaded;
    p->n_parts = n;
    p->n_sent = 0;
    p->whole_bytes = p->whole_crc32c = 0;
    p->begun[which] = p->lost[which] = p->makes = true;
    p->call = s3_create_upload(p->s3, &object, &p->created[which], on_created, p);
}

static void on_second_upload(void *arg, const struct err *err)
{
    struct doctor_s3 *p = arg;
    if (!err)
        doctor_warn(p->d, "let only one writer at a time use these keys",
                    "the store ignores If-None-Match at the end of a multipart upload: of two "
                    "writers of one large output the later one replaces the other's object");
    else if (err->code == ERR_EXISTS)
        doctor_ok(p->d, "the end of a multipart upload does not overwrite what is there");
    else
        doctor_fail(p->d, err, NULL);
}

void doctor_s3_complete_if_absent(struct doctor *d, void *part)
{
    static const size_t sizes[] = {1};
    if (!without_conditions(d, part))
        upload(part, PROBE, sizes, 1, on_second_upload);
}

static void on_unequal(void *arg, const struct err *err)
{
    struct doctor_s3 *p = arg;
    if (!err)
        doctor_ok(p->d, "parts of different sizes are taken");
    else if (is_refusal(p, err) && err->code != ERR_AUTH)
        doctor_warn(p->d, "give --part-layout uniform",
                    "parts of 5, 6 and 1 MiB do not make an object: %s", err->msg);
    else
        doctor_fail(p->d, err, NULL);
}

void doctor_s3_part_sizes(struct doctor *d, void *part)
{
    static const size_t sizes[PROBE_PARTS_MAX] = {5 * MIB, 6 * MIB, MIB};
    if (((struct doctor_s3 *)part)->config.equal_parts)
        doctor_skip(d, "leave that out to have it tried", "--part-layout uniform makes no such");
    else if (settings_on(doctor_settings(d), SET_THOROUGH))
        upload(part, PROBE_PARTS, sizes, PROBE_PARTS_MAX, on_unequal);
    else
        doctor_skip(d, "give --thorough to have it tried: it uploads 12 MiB",
                    "whether parts may differ in size was not tried");
}

/* ---- cleaning up ---- */

static void clean_next(struct doctor_s3 *p);

/* A refusal is of one request; where none is answered any more the rest is not tried. */
static void note_unclean(struct doctor_s3 *p, const struct err *err)
{
    if (p->unclean.code == ERR_NONE) {
        p->unclean = *err;
        err_prefix(&p->unclean, "s3://%s/%s is left", p->config.bucket, p->keys[p->cleaning]);
    }
    p->given_up =
        err->code == ERR_CANCELLED || err->code == ERR_NETWORK || err->code == ERR_TIMEOUT;
}

static void each_found(void *arg, const char *key, const char *upload_id, int64_t started_ms)
{
    struct doctor_s3 *p = arg;
    struct s3_created *created = &p->created[p->cleaning];
    (void)started_ms;
    if (p->open[p->cleaning] || strcmp(key, p->keys[p->cleaning]) != 0)
        return;
    free(created->upload_id);
    created->upload_id = xstrdup(upload_id);
    p->open[p->cleaning] = true;
}

static void on_found(void *arg, const struct err *err)
{
    struct doctor_s3 *p = arg;
    p->call = NULL;
    if (err)
        note_unclean(p, err);
    p->lost[p->cleaning] = p->open[p->cleaning] && ++p->found < FOUND_MAX;
    clean_next(p);
}

static void on_aborted(void *arg, const struct err *err)
{
    struct doctor_s3 *p = arg;
    p->call = NULL;
    if (err && !s3_error_upload_gone(err))
        note_unclean(p, err);
    p->open[p->cleaning] = false;
    clean_next(p);
}

static void on_deleted(void *arg, const struct err *err)
{
    struct doctor_s3 *p = arg;
    p->call = NULL;
    if (err && err->code != ERR_NOT_FOUND)
        note_unclean(p, err);
    p->begun[p->cleaning] = false;
    clean_next(p);
}

static void tell_clean(struct doctor_s3 *p)
{
    if (p->unclean.code == ERR_NONE) {
        doctor_ok(p->d, "the probes are removed");
        return;
    }
    char *advice = xprintf("delete what is in s3://%s/%s.egress/doctor/, and allow s3:DeleteObject "
                           "and s3:AbortMultipartUpload there",
                           p->config.bucket, p->prefix);
    doctor_warn(p->d, advice, "%s", p->unclean.msg);
    free(advice);
}

static void clean_next(struct doctor_s3 *p)
{
    while (p->cleaning < PROBES && !p->begun[p->cleaning])
        p->cleaning++;
    if (p->cleaning == PROBES || p->given_up) {
        tell_clean(p);
        return;
    }
    const char *key = p->keys[p->cleaning];
    if (p->open[p->cleaning])
        p->call = s3_abort_upload(p->s3, key, p->created[p->cleaning].upload_id, on_aborted, p);
    else if (p->lost[p->cleaning])
        p->call = s3_list_uploads(p->s3, key, each_found, on_found, p);
    else
        p->call = s3_delete(p->s3, key, NULL, on_deleted, p);
}

void doctor_s3_clean_up(struct doctor *d, void *part)
{
    struct doctor_s3 *p = part;
    bool any = false;
    loop_timer_stop(p->loop, &p->grace);
    for (int i = 0; i < PROBES; i++)
        any |= p->begun[i];
    if (any)
        clean_next(p);
    else
        doctor_nothing(d);
}
