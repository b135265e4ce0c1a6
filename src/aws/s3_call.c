/* SPDX-License-Identifier: Apache-2.0 */
#include "aws/s3_call.h"

#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/random.h"
#include "core/text.h"
#include "net/url.h"

enum {
    ANSWER_MAX = 64 * 1024,
    WHAT_MAX = 160, /* of a key as it stands in messages */
    RENEWALS_MAX = 3,
    CONFLICTS_MAX = 4,
    CONFLICT_DELAY_MS = 250, /* before the first repetition at most; doubled each time */
    SKEW_TOLD_MS = 60 * 1000,
    PAGES_MAX = 100000, /* of a listing: a hundred million keys */
    BARE_PAGES_MAX = 1000,
};

static void check_key(const char *key, struct err *err)
{
    size_t len = strlen(key);
    if (len == 0)
        err_set(err, ERR_INPUT, "an S3 key must not be empty");
    else if (len > S3_KEY_MAX)
        err_set(err, ERR_INPUT,
                "the key \"%.80s...\" has %zu bytes, S3's limit is %d: shorten --key or the prefix",
                key, len, S3_KEY_MAX);
    else if (!text_is_utf8(key, len))
        err_set(err, ERR_INPUT, "the key \"%.80s\" is not UTF-8", key);
}

struct s3_call *s3_call_new(struct s3 *s3, const char *operation, const char *method,
                            const char *key, s3_done_fn *done, void *arg)
{
    struct s3_call *call = xcalloc(1, sizeof(*call));
    call->s3 = s3;
    call->operation = operation;
    call->method = method;
    call->key = xstrdup(key);
    call->done = done;
    call->arg = arg;
    call->answer_max = ANSWER_MAX;
    call->query = BUF_INIT(16 * 1024);
    if (key)
        check_key(key, &call->refused);
    return call;
}

void s3_call_header(struct s3_call *call, const char *name, const char *value)
{
    CHECK(call->n_headers < S3_CALL_HEADERS_MAX);
    call->headers[call->n_headers++] = (struct http_header){.name = name, .value = xstrdup(value)};
}

void s3_call_query(struct s3_call *call, const char *name, const char *value)
{
    buf_printf(&call->query, "%s%s=", call->query.len ? "&" : "", name);
    url_encode(&call->query, value, strlen(value), false);
}

static void end(struct s3_call *call, const struct err *err)
{
    call->done(call->arg, err);
    for (size_t i = 0; i < call->n_headers; i++)
        free((char *)call->headers[i].value);
    buf_release(&call->query);
    buf_release(&call->own_body);
    free(call->key);
    free(call->path);
    free(call->prefix);
    free(call->token);
    free(call);
}

/* ---- errors ---- */

/* The object as messages name it: printable, and short enough to leave room for the reason. */
static char *name_in_messages(const struct s3_call *call)
{
    struct buf b = BUF_INIT(4096);
    s3_locate(call->s3, call->key ? call->key : "", &b);
    char *text = buf_take(&b);
    if (strlen(text) > WHAT_MAX)
        memcpy(text + WHAT_MAX - 3, "...", 4);
    text_make_printable(text);
    return text;
}

static struct s3_answer answer_of(const struct s3_call *call, const struct http_response *rsp)
{
    return (struct s3_answer){
        .status = rsp->status,
        .head = strcmp(call->method, "HEAD") == 0,
        .content_type = http_response_header(rsp, "Content-Type"),
        .bucket_region = http_response_header(rsp, "x-amz-bucket-region"),
        .date = http_response_header(rsp, "Date"),
        .body = rsp->body,
        .body_len = rsp->body_len,
    };
}

static void
fill_error(const struct s3_call *call, const struct http_response *rsp, int retry_after_ms,
           void (*set)(struct err *, const struct s3_context *, const struct s3_answer *),
           struct err *err)
{
    const struct s3 *s3 = call->s3;
    char *what = name_in_messages(call);
    bool checksums = false, conditional = false;
    for (size_t i = 0; i < call->n_headers; i++) {
        checksums |= strncmp(call->headers[i].name, "x-amz-checksum-", 15) == 0;
        conditional |= strncmp(call->headers[i].name, "if-", 3) == 0;
    }
    struct s3_context ctx = {
        .operation = call->operation,
        .what = what,
        .bucket = s3->bucket,
        .endpoint = s3->place.endpoint,
        .region = s3->region,
        .provider = credentials_provider(s3->credentials),
        .checksums = checksums,
        .conditional = conditional,
    };
    struct s3_answer answer = answer_of(call, rsp);
    answer.retry_after_ms = retry_after_ms;
    set(err, &ctx, &answer);
    free(what);
}

enum s3_next s3_call_not_s3(struct s3_call *call, const struct http_response *rsp, struct err *err)
{
    fill_error(call, rsp, 0, s3_error_not_s3, err);
    return S3_FAILED;
}

enum s3_next s3_call_refused(struct s3_call *call, const struct http_response *rsp, struct err *err)
{
    fill_error(call, rsp, 0, s3_error_set, err);
    return S3_FAILED;
}

enum s3_next s3_call_nonsense(struct s3_call *call, const char *why, struct err *err)
{
    char *what = name_in_messages(call);
    err_set(err, ERR_PROTOCOL, "%s: %s: %s", what, call->operation, why);
    free(what);
    return S3_FAILED;
}

enum s3_next s3_call_turn_page(struct s3_call *call, const char *token, size_t n, struct err *err)
{
    if (!token || !*token)
        return s3_call_nonsense(call, "the listing is not complete, and does not say how to go on",
                                err);
    if (call->token && strcmp(call->token, token) == 0)
        return s3_call_nonsense(call, "the listing goes round in a circle", err);
    call->bare_pages = n ? 0 : call->bare_pages + 1;
    if (++call->pages == PAGES_MAX || call->bare_pages == BARE_PAGES_MAX)
        return s3_call_nonsense(call, "the listing does not come to an end", err);
    free(call->token);
    call->token = xstrdup(token);
    call->again_ms = 0;
    return S3_AGAIN;
}

/* ---- what a refusal teaches ---- */

static void set_clock(struct s3 *s3, int64_t now_ms)
{
    int64_t offset_ms = now_ms - clock_wall_ms();
    if (llabs(offset_ms - s3->clock_offset_ms) > SKEW_TOLD_MS) /* else another call has said it */
        log_warn("this machine's clock is %lld s %s that of %s: signatures are dated by the "
                 "latter; set the clock right",
                 llabs(offset_ms) / 1000, offset_ms < 0 ? "ahead of" : "behind",
                 s3->place.endpoint);
    s3->clock_offset_ms = offset_ms;
}

static bool move(struct s3 *s3, const char *region)
{
    struct s3_place place = {0};
    struct err malformed = {0};
    if (s3->moved || strcmp(region, s3->region) == 0 ||
        s3_place_init(&place, s3->bucket, region, s3->endpoint_url, s3->addressing, &malformed) < 0)
        return false;
    log_debug("bucket %s is in region %s, not in %s: followed there", s3->bucket, region,
              s3->region);
    s3_place_release(&s3->place);
    free(s3->region);
    s3->place = place;
    s3->region = xstrdup(region);
    s3->moved = true;
    return true;
}

/* Whether the same request, signed anew, may fare better. */
static bool learn(struct s3_call *call, const struct http_response *rsp)
{
    struct s3_answer answer = answer_of(call, rsp);
    struct s3_lesson lesson = s3_error_lesson(&answer, call->signed_ms);
    if (lesson.now_ms && !call->clock_learned) {
        call->clock_learned = true;
        set_clock(call->s3, lesson.now_ms);
        return true;
    }
    if (!lesson.region[0])
        return false;
    return call->moved != call->s3->moved || move(call->s3, lesson.region);
}

/* ---- sending ---- */

static void hash_payload(struct s3_call *call)
{
    const struct s3 *s3 = call->s3;
    if (call->payload_hash[0])
        return;
    if (call->bulk_body && !s3->sign_payload)
        snprintf(call->payload_hash, sizeof(call->payload_hash), "%s", SIGV4_UNSIGNED_PAYLOAD);
    else
        sigv4_hash(call->body, call->body_len, call->payload_hash);
}

/* At the moment of sending: a signature is good for 15 minutes, and credentials may have changed.
 */
static int prepare(void *arg, struct http_call *http, struct err *err)
{
    struct s3_call *call = arg;
    struct s3 *s3 = call->s3;
    const struct aws_credentials *credentials = credentials_current(s3->credentials);
    call->outdated = !credentials || call->moved != s3->moved; /* before a retry */
    if (credentials && call->outdated)
        return err_set(err, ERR_DESTINATION, "%s: the bucket is in another region",
                       call->operation);
    if (!credentials)
        return err_set(err, ERR_AUTH, "%s: the credentials from %s run out at once",
                       call->operation, credentials_provider(s3->credentials));
    call->signed_ms = clock_wall_ms() + s3->clock_offset_ms;
    struct sigv4_header headers[S3_CALL_HEADERS_MAX];
    for (size_t i = 0; i < call->n_headers; i++)
        headers[i] = (struct sigv4_header){call->headers[i].name, call->headers[i].value};
    hash_payload(call);
    struct sigv4_request rq = {
        .method = call->method,
        .path = call->path,
        .query = buf_str(&call->query),
        .headers = headers,
        .n_headers = call->n_headers,
        .host = s3->place.host,
        .payload_hash = call->payload_hash,
        .content_sha256 = true,
        .region = s3->region,
        .service = "s3",
        .credentials = credentials,
        .unix_ms = call->signed_ms,
        .key = &s3->key,
    };
    struct sigv4_signed sig;
    sigv4_sign(&rq, &sig);
    http_add_header(http, "x-amz-date", sig.amz_date);
    http_add_header(http, "x-amz-content-sha256", sig.content_sha256);
    if (sig.security_token)
        http_add_header(http, "x-amz-security-token", sig.security_token);
    http_add_header(http, "Authorization", sig.authorization);
    sigv4_signed_release(&sig);
    return 0;
}

static int on_head(void *arg, const struct http_response *rsp, struct err *err)
{
    struct s3_call *call = arg;
    return call->on_answer(call, rsp, err) == S3_DONE ? 0 : -1;
}

static size_t on_data(void *arg, const void *data, size_t len)
{
    struct s3_call *call = arg;
    if (!call->cancelled && call->on_data(call->arg, data, len) < 0)
        s3_cancel(call);
    return len;
}

static void set_cancelled(const struct s3_call *call, struct err *err)
{
    err_set(err, ERR_CANCELLED, "%s was cancelled", call->operation);
}

static void begin(struct s3_call *call);

static void timer_due(void *arg)
{
    struct s3_call *call = arg;
    struct err err = {0};
    if (call->refused.code != ERR_NONE) {
        end(call, &call->refused);
    } else if (call->cancelled) {
        set_cancelled(call, &err);
        end(call, &err);
    } else {
        begin(call);
    }
}

static enum s3_next judge_refusal(struct s3_call *call, const struct http_response *rsp,
                                  int retry_after_ms, struct err *err)
{
    fill_error(call, rsp, retry_after_ms, s3_error_set, err);
    if (!s3_error_conflict(err) || call->conflict_ends || call->conflicts == CONFLICTS_MAX)
        return S3_FAILED;
    int64_t delay = (int64_t)CONFLICT_DELAY_MS << call->conflicts++;
    call->again_ms = delay / 2 + (int64_t)(random_u64() % (uint64_t)(delay / 2));
    return S3_AGAIN;
}

static void on_done(void *arg, const struct http_response *rsp, const struct err *net_err)
{
    struct s3_call *call = arg;
    bool refused = net_err && net_err->code == ERR_HTTP && rsp;
    if (call->created) {
        call->created->lost += http_unanswered(call->http);
        call->created->to_ms = clock_wall_ms() + call->s3->clock_offset_ms;
        call->created->from_ms = call->created->to_ms - (clock_mono_ms() - call->first_sent_ms);
    }
    call->http = NULL;
    if (rsp && call->s3->watch) {
        struct s3_answer answer = answer_of(call, rsp);
        call->s3->watch(call->s3->watch_arg, &answer);
    }
    if (!call->cancelled &&
        ((call->outdated && call->renewals++ < RENEWALS_MAX) || (refused && learn(call, rsp)))) {
        begin(call);
        return;
    }
    struct err err = {0};
    enum s3_next next = S3_FAILED;
    if (refused)
        next = judge_refusal(call, rsp, net_err->retry_after_ms, &err);
    else if (net_err)
        err = *net_err;
    else
        next = call->on_data ? S3_DONE : call->on_answer(call, rsp, &err);
    if (call->cancelled && next != S3_DONE) {
        set_cancelled(call, &err);
        next = S3_FAILED;
    }
    if (next == S3_AGAIN)
        loop_timer_start(call->s3->loop, &call->timer, call->again_ms, timer_due, call);
    else
        end(call, next == S3_FAILED ? &err : NULL);
}

static void send_request(struct s3_call *call)
{
    const struct s3_place *place = &call->s3->place;
    struct buf path = BUF_INIT(16 * 1024), url = BUF_INIT(64 * 1024);
    buf_str_append(&path, place->base_path);
    if (call->key || !path.len)
        buf_byte(&path, '/');
    if (call->key)
        url_encode(&path, call->key, strlen(call->key), true);
    buf_printf(&url, "%s%s%s%s", place->origin, buf_str(&path), call->query.len ? "?" : "",
               buf_str(&call->query));
    free(call->path);
    call->path = buf_take(&path);
    struct http_request rq = {
        .method = call->method,
        .url = buf_str(&url),
        .headers = call->headers,
        .n_headers = call->n_headers,
        .body = call->body,
        .body_len = call->body_len,
        .has_body = call->has_body,
        .max_body = call->answer_max,
    };
    struct http_events events = {.prepare = prepare, .on_done = on_done};
    if (call->on_data) {
        events.on_head = on_head;
        events.on_data = on_data;
    }
    if (call->tries++ == 0)
        call->first_sent_ms = clock_mono_ms();
    call->moved = call->s3->moved;
    call->http = http_start(call->s3->loop, &rq, &events, call);
    buf_release(&url);
}

static void on_credentials(void *arg, const struct err *err)
{
    struct s3_call *call = arg;
    if (err)
        end(call, err);
    else
        send_request(call);
}

/* Sends, once there are credentials to sign with. */
static void begin(struct s3_call *call)
{
    struct credentials *credentials = call->s3->credentials;
    call->outdated = false;
    if (credentials_current(credentials))
        send_request(call);
    else
        credentials_get(credentials, &call->wait, on_credentials, call);
}

struct s3_call *s3_call_start(struct s3_call *call)
{
    if (buf_overflowed(&call->query))
        err_set(&call->refused, ERR_INPUT, "%s: its parameters are too long", call->operation);
    if (call->refused.code != ERR_NONE)
        loop_timer_start(call->s3->loop, &call->timer, 0, timer_due, call);
    else
        begin(call);
    return call;
}

void s3_cancel(struct s3_call *call)
{
    if (call->cancelled)
        return;
    call->cancelled = true;
    bool waited = call->wait.waiting;
    credentials_forget(call->s3->credentials, &call->wait);
    if (call->http)
        http_cancel(call->http);
    else if (call->timer.armed || waited)
        loop_timer_start(call->s3->loop, &call->timer, 0, timer_due, call);
}
