/* SPDX-License-Identifier: Apache-2.0
 *
 * doctor_s3: where the store is, who we are to it, and what it lets us see.
 */
#include "doctor/doctor_s3.h"

#include <stdlib.h>
#include <string.h>

#include "assemble/s3_setup.h"
#include "core/clock.h"
#include "core/mem.h"
#include "core/random.h"
#include "core/text.h"
#include "net/url.h"
#include "sink/sink_s3.h"

enum {
    CREDENTIALS_MAX_MS = 30 * 1000, /* a credential_process may have to ask somebody */
    PARTS_MAX_MS = 180 * 1000,      /* 12 MiB over a slow line */
    CLEAN_UP_MAX_MS = 20 * 1000,
    GRACE_MS = 3000,
    OLD_MS = 24 * 60 * 60 * 1000,
    REFUSED_CLOCK_S = 15 * 60, /* S3 takes no signature that is older or newer */
};

/* ---- where ---- */

static void describe_origin(struct buf *out, const struct doctor_s3 *p, enum setting id,
                            const char *value, const char *none)
{
    char origin[SETTINGS_ORIGIN_SIZE];
    const char *from = settings_origin(doctor_settings(p->d), id, origin);
    if (value)
        buf_printf(out, "%s (from %s)", value, from ? from : "the profile");
    else
        buf_str_append(out, none);
}

static int find_place(struct doctor_s3 *p, struct err *err)
{
    const struct settings *s = doctor_settings(p->d);
    if (aws_profile_load(settings_text(s, SET_PROFILE), &p->profile, err) < 0 ||
        assemble_s3_config(s, doctor_destination(p->d), &p->profile, &p->config, err) < 0)
        return -1;
    /* The sink that a transfer would write to finds fault with a prefix. */
    struct sink *sink = sink_s3_new(p->loop, &p->config, err);
    if (!sink)
        return -1;
    sink->ops->free(sink);
    return s3_place_init(&p->place, p->config.bucket,
                         p->config.region ? p->config.region : "us-east-1", p->config.endpoint_url,
                         p->config.addressing, err);
}

static void run_place(struct doctor *d, void *part)
{
    struct doctor_s3 *p = part;
    struct err err = {0};
    if (find_place(p, &err) < 0) {
        doctor_fail(d, &err, NULL);
        return;
    }
    struct buf text = BUF_INIT(2048);
    describe_origin(&text, p, SET_ENDPOINT_URL, p->config.endpoint_url, p->place.endpoint);
    buf_str_append(&text, ", region ");
    describe_origin(&text, p, SET_REGION, p->config.region, "us-east-1 (none is set)");
    const char *prefix = p->config.prefix;
    unsigned long long random = random_u64();
    p->prefix = xprintf("%s%s", prefix, *prefix ? "/" : "");
    p->keys[PROBE] = xprintf("%s.egress/doctor/%016llx", p->prefix, random);
    p->keys[PROBE_WRONG] = xprintf("%s-wrong", p->keys[PROBE]);
    p->keys[PROBE_PARTS] = xprintf("%s-parts", p->keys[PROBE]);
    doctor_ok(d, "%s", buf_str(&text));
    buf_release(&text);
}

/* ---- who ---- */

/* "AKIA...WXYZ": enough to tell which of one's keys it is. */
static void shorten(const char *id, char out[16])
{
    size_t len = strlen(id);
    if (len >= 12)
        snprintf(out, 16, "%.4s...%s", id, id + len - 4);
    else
        snprintf(out, 16, "%.2s...", id);
}

static void tell_credentials(struct doctor_s3 *p, const struct aws_credentials *found)
{
    const char *where = credentials_where(p->credentials);
    char id[16], until[DATE_TEXT_SIZE], lasting[160] = "";
    shorten(found->access_key_id, id);
    if (found->expires_ms) {
        date_format_iso8601(found->expires_ms, until);
        snprintf(lasting, sizeof(lasting), "; good until %s, renewed before that", until);
    } else if (found->session_token) {
        snprintf(lasting, sizeof(lasting), "; temporary, until when is not told, not renewed");
    }
    doctor_ok(p->d, "%s%s%s%s, key %s%s", found->provider, *where ? " (" : "", where,
              *where ? ")" : "", id, lasting);
}

static void watch(void *arg, const struct s3_answer *answer)
{
    struct doctor_s3 *p = arg;
    if (p->after_ms < 0)
        p->after_ms = clock_mono_ms() - p->asked_ms;
    if (!p->date_ms && answer->date && date_parse_http(answer->date, &p->date_ms) == 0)
        p->seen_ms = clock_wall_ms();
    struct s3_lesson lesson = s3_error_lesson(answer, clock_wall_ms());
    const char *region = lesson.region[0] ? lesson.region : answer->bucket_region;
    if (region && !p->told_region[0])
        snprintf(p->told_region, sizeof(p->told_region), "%s", region);
    p->status = answer->status;
    s3_error_code(answer->body, answer->body_len, p->code);
}

static void on_credentials(void *arg, const struct err *err)
{
    struct doctor_s3 *p = arg;
    struct err why = {0};
    if (!err) {
        p->config.credentials = p->credentials;
        p->s3 = s3_new(p->loop, &p->config, &why);
        err = p->s3 ? NULL : &why;
    }
    if (err) {
        doctor_fail(p->d, err, NULL);
        return;
    }
    s3_watch(p->s3, watch, p);
    const struct aws_credentials *found = credentials_current(p->credentials);
    if (found)
        tell_credentials(p, found);
    else
        doctor_warn(p->d, "see that they live longer than a minute", "%s: they run out at once",
                    credentials_provider(p->credentials));
}

static void run_credentials(struct doctor *d, void *part)
{
    struct doctor_s3 *p = part;
    struct err err = {0};
    const struct credentials_config who = {
        .profile = settings_text(doctor_settings(d), SET_PROFILE), .region = p->config.region};
    p->credentials = credentials_new(p->loop, &who, &err);
    if (p->credentials)
        credentials_get(p->credentials, &p->wait, on_credentials, p);
    else
        doctor_fail(d, &err, NULL);
}

/* ---- reaching it ---- */

static void ignore_key(void *arg, const char *key)
{
    (void)arg, (void)key;
}

static void tell_reached(struct doctor_s3 *p)
{
    struct url url = {0};
    struct err ignored = {0};
    bool local = url_parse(p->place.origin, &url, &ignored) == 0 && url_is_local(&url);
    long long after_ms = p->after_ms;
    url_release(&url);
    if (p->place.https)
        doctor_ok(p->d, "%s answers, after %lld ms; its certificate is verified", p->place.origin,
                  after_ms);
    else if (local)
        doctor_ok(p->d, "%s answers, after %lld ms", p->place.origin, after_ms);
    else
        doctor_warn(p->d, "name an endpoint that begins with https://",
                    "%s answers, after %lld ms, but over http: all can be read on the way",
                    p->place.origin, after_ms);
}

static void on_reached(void *arg, const struct err *err)
{
    struct doctor_s3 *p = arg;
    p->call = NULL;
    if (err)
        p->listed = *err;
    p->list_denied = err && strcmp(p->code, "AccessDenied") == 0;
    if (p->after_ms >= 0)
        tell_reached(p);
    else
        doctor_fail(p->d, err, NULL);
}

static void run_reach(struct doctor *d, void *part)
{
    struct doctor_s3 *p = part;
    (void)d;
    p->asked_ms = clock_mono_ms();
    p->after_ms = -1;
    /* A listing, as its refusal gives a reason, which that of a HEAD does not. */
    char *ours = xprintf("%s.egress/doctor/", p->prefix);
    p->call = s3_list(p->s3, ours, ignore_key, on_reached, p);
    free(ours);
}

static void run_clock(struct doctor *d, void *part)
{
    struct doctor_s3 *p = part;
    int64_t off_s = p->date_ms ? doctor_clock_off_s(p->seen_ms, p->date_ms) : 0;
    bool far = off_s >= REFUSED_CLOCK_S || off_s <= -REFUSED_CLOCK_S;
    if (far && p->listed.code == ERR_CONFIG)
        doctor_fail(d, &p->listed, NULL);
    else
        doctor_clock(d, "the store", p->seen_ms, p->date_ms,
                     "set the clock right (NTP): from 15 minutes on each run's first request is "
                     "refused");
}

static void run_bucket(struct doctor *d, void *part)
{
    struct doctor_s3 *p = part;
    const char *region = p->config.region ? p->config.region : "us-east-1";
    if (p->listed.code != ERR_NONE && !p->list_denied)
        doctor_fail(d, &p->listed, NULL);
    else if (p->told_region[0] && strcmp(p->told_region, region) != 0)
        doctor_warn(
            d, "name that region: --region, AWS_REGION or the profile's region",
            "%s is in region %s, not in %s, as each run learns by a request that is refused",
            p->config.bucket, p->told_region, region);
    else
        doctor_ok(d, "%s is there%s%s", p->config.bucket, p->told_region[0] ? ", in region " : "",
                  p->told_region);
}

/* ---- looking around ---- */

static void on_missing_key(void *arg, const struct err *err)
{
    static const char allow[] = "allow s3:ListBucket on the bucket to these credentials";
    struct doctor_s3 *p = arg;
    p->call = NULL;
    if (err && err->code == ERR_NOT_FOUND) {
        doctor_warn(p->d, allow,
                    "denied; a key that is not there is told as such all the same, so "
                    "fetch works, but not verify");
    } else if (err && err->code == ERR_AUTH) {
        struct err why = *err;
        err_set(&why, ERR_AUTH,
                "denied, and so the store answers 403 for a key that is not there instead of 404: "
                "egress cannot tell what is missing from what is forbidden, and stores nothing");
        doctor_fail(p->d, &why, allow);
    } else if (err) {
        doctor_fail(p->d, err, NULL);
    } else {
        doctor_warn(p->d, allow, "denied");
    }
}

static void run_list(struct doctor *d, void *part)
{
    struct doctor_s3 *p = part;
    if (p->list_denied)
        p->call = s3_head(p->s3, p->keys[PROBE], &p->info, on_missing_key, p);
    else
        doctor_ok(d, "allowed; what is not there is told as such");
}

static void each_open(void *arg, const char *key, const char *upload_id, int64_t started_ms)
{
    struct doctor_s3 *p = arg;
    (void)key, (void)upload_id;
    if (!p->n_open++ || started_ms < p->oldest_ms)
        p->oldest_ms = started_ms;
}

static void on_uploads(void *arg, const struct err *err)
{
    struct doctor_s3 *p = arg;
    char since[DATE_TEXT_SIZE];
    p->call = NULL;
    date_format_iso8601(p->oldest_ms, since);
    if (err && err->code == ERR_AUTH) {
        doctor_warn(p->d,
                    "allow s3:ListBucketMultipartUploads on the bucket, or let a lifecycle rule "
                    "(AbortIncompleteMultipartUpload) remove them",
                    "may not be listed, so egress sweep cannot find what killed runs leave");
    } else if (err) {
        doctor_fail(p->d, err, NULL);
    } else if (!p->n_open) {
        doctor_ok(p->d, "none");
    } else if (clock_wall_ms() - p->oldest_ms < OLD_MS) {
        doctor_ok(p->d, "%zu, the oldest begun %s: under way, or left by a killed run", p->n_open,
                  since);
    } else {
        char *advice = xprintf("egress sweep --to %s --older-than 1d", doctor_to(p->d));
        doctor_warn(p->d, advice, "%zu, the oldest begun %s: killed runs leave such, and they cost",
                    p->n_open, since);
        free(advice);
    }
}

static void run_uploads(struct doctor *d, void *part)
{
    struct doctor_s3 *p = part;
    (void)d;
    p->call = s3_list_uploads(p->s3, p->prefix, each_open, on_uploads, p);
}

/* ---- life ---- */

static void *open_s3(struct doctor *d)
{
    struct doctor_s3 *p = xcalloc(1, sizeof(*p));
    p->d = d;
    p->loop = doctor_loop(d);
    p->back = BUF_INIT(sizeof(p->text));
    return p;
}

static void end_grace(void *arg)
{
    struct doctor_s3 *p = arg;
    if (p->call)
        s3_cancel(p->call);
}

static void cancel_s3(void *part, bool late)
{
    struct doctor_s3 *p = part;
    if (p->wait.waiting) {
        const struct err err = {.code = ERR_CANCELLED, .msg = "cancelled"};
        credentials_forget(p->credentials, &p->wait);
        doctor_fail(p->d, &err, NULL);
    } else if (p->call && p->makes && !late) {
        loop_timer_start(p->loop, &p->grace, GRACE_MS, end_grace, p);
    } else if (p->call) {
        s3_cancel(p->call);
    }
}

static void close_s3(void *part)
{
    struct doctor_s3 *p = part;
    loop_timer_stop(p->loop, &p->grace);
    s3_free(p->s3);
    credentials_free(p->credentials);
    aws_profile_release(&p->profile);
    if (p->place.endpoint)
        s3_place_release(&p->place);
    for (int i = 0; i < PROBES; i++) {
        free(p->keys[i]);
        free(p->created[i].upload_id);
    }
    for (int i = 0; i < PROBE_PARTS_MAX; i++)
        free(p->parts[i].etag);
    buf_release(&p->back);
    free(p->block);
    free(p->prefix);
    free(p);
}

static const struct doctor_step steps[] = {
    {.name = "endpoint", .run = run_place, .gives = HAVE_PLACE},
    {.name = "credentials",
     .run = run_credentials,
     .needs = HAVE_PLACE,
     .gives = HAVE_CREDENTIALS,
     .limit_ms = CREDENTIALS_MAX_MS},
    {.name = "store", .run = run_reach, .needs = HAVE_CREDENTIALS, .gives = HAVE_ANSWER},
    {.name = "store's clock", .run = run_clock, .needs = HAVE_ANSWER, .gives = HAVE_CLOCK},
    {.name = "bucket", .run = run_bucket, .needs = HAVE_CLOCK, .gives = HAVE_BUCKET},
    {.name = "list", .run = run_list, .needs = HAVE_BUCKET},
    {.name = "open uploads", .run = run_uploads, .needs = HAVE_BUCKET},
    {.name = "write", .run = doctor_s3_write, .needs = HAVE_BUCKET, .gives = HAVE_OBJECT},
    {.name = "read", .run = doctor_s3_read, .needs = HAVE_OBJECT},
    {.name = "checksums kept", .run = doctor_s3_checksum_kept, .needs = HAVE_OBJECT},
    {.name = "checksums checked", .run = doctor_s3_checksum_checked, .needs = HAVE_OBJECT},
    {.name = "put if absent", .run = doctor_s3_put_if_absent, .needs = HAVE_OBJECT},
    {.name = "complete if absent", .run = doctor_s3_complete_if_absent, .needs = HAVE_OBJECT},
    {.name = "part sizes",
     .run = doctor_s3_part_sizes,
     .needs = HAVE_OBJECT,
     .limit_ms = PARTS_MAX_MS},
    {.name = "clean up", .run = doctor_s3_clean_up, .always = true, .limit_ms = CLEAN_UP_MAX_MS},
};

const struct doctor_part doctor_s3 = {
    steps, sizeof(steps) / sizeof(steps[0]), open_s3, cancel_s3, close_s3,
};
