/* SPDX-License-Identifier: Apache-2.0 */
#include "aws/s3_error.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "aws/xml.h"
#include "core/clock.h"
#include "core/text.h"

enum {
    SKEW_REFUSED_MS = 15 * 60 * 1000, /* from there on S3 refuses (RequestTimeTooSkewed) */
    SKEW_LEAST_MS = 60 * 1000,        /* less than that is not why */
};

enum kind {
    KIND_OTHER,
    KIND_BUCKET,      /* no such bucket */
    KIND_KEY,         /* no such key */
    KIND_UPLOAD,      /* no such multipart upload */
    KIND_EXISTS,      /* a condition failed */
    KIND_CONFLICT,    /* another write is under way */
    KIND_ACCESS,      /* we may not */
    KIND_KEY_ID,      /* access key unknown */
    KIND_SECRET,      /* secret key wrong */
    KIND_TOKEN,       /* session token too old or wrong */
    KIND_REGION,      /* the bucket lives elsewhere */
    KIND_CLOCK,       /* ours is off */
    KIND_BUSY,        /* again later */
    KIND_INTEGRITY,   /* the bytes changed on the way */
    KIND_DESTINATION, /* the bucket or the store cannot take it */
    KIND_PROTOCOL,    /* starting over may help */
    KIND_LACKING,     /* the store knows less than S3: there is a setting */
    KIND_BROKEN,      /* XML that breaks off or is none */
};

static const struct {
    const char *code;
    enum kind kind;
} kinds[] = {
    {"NoSuchBucket", KIND_BUCKET},
    {"NoSuchKey", KIND_KEY},
    {"NoSuchVersion", KIND_KEY},
    {"NotFound", KIND_KEY},
    {"NoSuchUpload", KIND_UPLOAD},
    {"PreconditionFailed", KIND_EXISTS},
    {"ConditionalRequestConflict", KIND_CONFLICT},
    {"OperationAborted", KIND_CONFLICT},
    {"AccessDenied", KIND_ACCESS},
    {"AllAccessDisabled", KIND_ACCESS},
    {"AccountProblem", KIND_ACCESS},
    {"InvalidSecurity", KIND_ACCESS},
    {"NotSignedUp", KIND_ACCESS},
    {"UserSuspended", KIND_ACCESS}, /* Ceph */
    {"InvalidAccessKeyId", KIND_KEY_ID},
    {"SignatureDoesNotMatch", KIND_SECRET},
    {"ExpiredToken", KIND_TOKEN},
    {"InvalidToken", KIND_TOKEN},
    {"TokenRefreshRequired", KIND_TOKEN},
    {"PermanentRedirect", KIND_REGION},
    {"AuthorizationHeaderMalformed", KIND_REGION},
    {"IllegalLocationConstraintException", KIND_REGION},
    {"RequestTimeTooSkewed", KIND_CLOCK},
    {"TemporaryRedirect", KIND_BUSY}, /* the bucket is new: until all of S3 knows where it is */
    {"SlowDown", KIND_BUSY},
    {"InternalError", KIND_BUSY},
    {"ServiceUnavailable", KIND_BUSY},
    {"RequestTimeout", KIND_BUSY},
    {"Throttling", KIND_BUSY},
    {"RequestLimitExceeded", KIND_BUSY},
    {"TooManyRequests", KIND_BUSY},
    {"Busy", KIND_BUSY},
    {"BadDigest", KIND_INTEGRITY},
    {"InvalidDigest", KIND_INTEGRITY},
    {"IncompleteBody", KIND_INTEGRITY},
    {"XAmzContentSHA256Mismatch", KIND_INTEGRITY},
    {"XAmzContentChecksumMismatch", KIND_INTEGRITY},
    {"InvalidBucketName", KIND_DESTINATION},
    {"QuotaExceeded", KIND_DESTINATION},
    {"NotImplemented", KIND_DESTINATION},
    {"InvalidPart", KIND_PROTOCOL},
    {"InvalidPartOrder", KIND_PROTOCOL},
};

/* An <Error> document. */
struct doc {
    bool is_xml, is_error;
    char code[S3_ERROR_CODE_SIZE];
    char message[192];
    char region[80]; /* longer than any: of a longer one it is no beginning that is gone by */
    char endpoint[128];
    char header[64]; /* that it is about */
};

static void each(void *arg, const char *path, const char *text)
{
    struct doc *doc = arg;
    if (strncmp(path, "ErrorResponse/", 14) == 0) /* as the other AWS services nest it */
        path += 14;
    const struct {
        const char *path;
        char *out;
        size_t size;
    } wanted[] = {
        {"Error/Code", doc->code, sizeof(doc->code)},
        {"Error/Message", doc->message, sizeof(doc->message)},
        {"Error/Region", doc->region, sizeof(doc->region)},
        {"Error/Endpoint", doc->endpoint, sizeof(doc->endpoint)},
        {"Error/Header", doc->header, sizeof(doc->header)},
    };
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
        if (strcmp(path, wanted[i].path) == 0) {
            snprintf(wanted[i].out, wanted[i].size, "%s", text);
            text_make_printable(wanted[i].out);
        }
    doc->is_error |= strcmp(path, "Error") == 0;
}

static struct doc read_doc(const char *body, size_t len)
{
    struct doc doc = {0};
    struct err ignored = {0};
    if (xml_read(body, len, each, &doc, &ignored) < 0)
        return (struct doc){0};
    doc.is_xml = true;
    doc.is_error &= doc.code[0] != '\0';
    return doc;
}

bool s3_error_is(const char *body, size_t len)
{
    return read_doc(body, len).is_error;
}

void s3_error_code(const char *body, size_t len, char out[S3_ERROR_CODE_SIZE])
{
    struct doc doc = read_doc(body, len);
    snprintf(out, S3_ERROR_CODE_SIZE, "%s", doc.is_error ? doc.code : "");
}

/* XML, as it says itself, that is none: cut off, most likely. */
static bool is_broken(const struct doc *doc, const struct s3_answer *answer)
{
    const char *type = answer->content_type;
    return !doc->is_xml && !answer->head && type &&
           (strncmp(type, "application/xml", 15) == 0 || strncmp(type, "text/xml", 8) == 0);
}

static enum kind kind_of(const struct doc *doc, const struct s3_answer *answer)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (strcmp(doc->code, kinds[i].code) == 0) {
            /* Without a region in it, it is about another part of that header. */
            bool other = strcmp(doc->code, "AuthorizationHeaderMalformed") == 0 &&
                         !doc->region[0] && !answer->bucket_region;
            return other ? KIND_ACCESS : kinds[i].kind;
        }
    if (answer->status == 412)
        return KIND_EXISTS;
    if (answer->status == 409 && !doc->code[0])
        return KIND_CONFLICT;
    if (answer->status == 301 || (answer->bucket_region && answer->head && answer->status == 400))
        return KIND_REGION;
    if ((answer->status >= 500 && answer->status != 501) || answer->status == 307)
        return KIND_BUSY;
    return is_broken(doc, answer) ? KIND_BROKEN : KIND_OTHER;
}

static const char *permission(const char *operation)
{
    if (strcmp(operation, "ListObjectsV2") == 0)
        return "s3:ListBucket";
    if (strcmp(operation, "AbortMultipartUpload") == 0)
        return "s3:AbortMultipartUpload";
    if (strcmp(operation, "ListMultipartUploads") == 0)
        return "s3:ListBucketMultipartUploads";
    if (strcmp(operation, "ListParts") == 0)
        return "s3:ListMultipartUploadParts";
    if (strcmp(operation, "HeadObject") == 0 || strcmp(operation, "GetObject") == 0)
        return "s3:GetObject and s3:ListBucket (without it a missing key is denied too)";
    return "s3:PutObject";
}

/* "Code: message", or what there is of it; the status when there is neither. */
static const char *reason(const struct doc *doc, const struct s3_answer *answer, char *out,
                          size_t size)
{
    if (doc->code[0])
        snprintf(out, size, "%s%s%s", doc->code, doc->message[0] ? ": " : "", doc->message);
    else
        snprintf(out, size, "status %d", answer->status);
    return out;
}

/* The answer means nothing without what it broke off from, its status neither. */
static void set_broken(struct err *err, const struct s3_context *ctx,
                       const struct s3_answer *answer)
{
    err_set(err, ERR_PROTOCOL, "%s: %s: %s answered %d with XML that is broken", ctx->what,
            ctx->operation, ctx->endpoint, answer->status);
}

static void set_auth(struct err *err, const struct s3_context *ctx, enum kind kind, const char *why)
{
    if (kind == KIND_KEY_ID)
        err_set(err, ERR_AUTH,
                "%s does not know the access key from %s (%s): check the key, the profile and "
                "--endpoint-url",
                ctx->endpoint, ctx->provider, why);
    else if (kind == KIND_SECRET)
        err_set(err, ERR_AUTH,
                "%s: the signature is wrong (%s): the secret access key from %s does not belong to "
                "its access key",
                ctx->endpoint, why, ctx->provider);
    else if (kind == KIND_TOKEN)
        err_set(err, ERR_AUTH,
                "%s: the session token from %s has expired or is not valid (%s): get new "
                "credentials",
                ctx->endpoint, ctx->provider, why);
    else
        err_set(err, ERR_AUTH,
                "%s: %s is refused (%s): allow %s to the credentials from %s, or use others "
                "(--profile)",
                ctx->what, ctx->operation, why, permission(ctx->operation), ctx->provider);
}

/* The bucket's region, or NULL. */
static const char *told_region(const struct doc *doc, const struct s3_answer *answer)
{
    return doc->region[0] ? doc->region : answer->bucket_region;
}

static void set_region(struct err *err, const struct s3_context *ctx, const struct doc *doc,
                       const struct s3_answer *answer)
{
    const char *told = told_region(doc, answer);
    if (told && strcmp(told, ctx->region) == 0)
        err_set(err, ERR_DESTINATION,
                "bucket %s is in region %.64s, and %s does not serve that: correct --endpoint-url",
                ctx->bucket, told, ctx->endpoint);
    else if (told)
        err_set(err, ERR_DESTINATION,
                "bucket %s is in region %.64s, not in %s: give --region %.64s", ctx->bucket, told,
                ctx->region, told);
    else if (doc->endpoint[0])
        err_set(err, ERR_DESTINATION,
                "bucket %s is not at %s but at %s: give its --region or --endpoint-url",
                ctx->bucket, ctx->endpoint, doc->endpoint);
    else
        err_set(err, ERR_DESTINATION,
                "bucket %s is not in region %s (%s answered %d): give its --region or "
                "--endpoint-url",
                ctx->bucket, ctx->region, ctx->endpoint, answer->status);
}

static void set_clock(struct err *err, const struct s3_context *ctx, const struct s3_answer *answer)
{
    int64_t theirs_ms, off_s = 0;
    if (answer->date && date_parse_http(answer->date, &theirs_ms) == 0)
        off_s = (clock_wall_ms() - theirs_ms) / 1000;
    if (off_s)
        err_set(err, ERR_CONFIG,
                "%s refuses signatures made now: this machine's clock is %lld s %s; set it right",
                ctx->endpoint, (long long)(off_s < 0 ? -off_s : off_s),
                off_s < 0 ? "behind" : "ahead");
    else
        err_set(err, ERR_CONFIG,
                "%s refuses signatures made now (RequestTimeTooSkewed): set this machine's clock "
                "right",
                ctx->endpoint);
}

void s3_error_not_s3(struct err *err, const struct s3_context *ctx, const struct s3_answer *answer)
{
    char type[80];
    struct doc doc = read_doc(answer->body, answer->body_len);
    if (is_broken(&doc, answer)) {
        set_broken(err, ctx, answer);
        return;
    }
    snprintf(type, sizeof(type), "%s", answer->content_type ? answer->content_type : "no type");
    text_make_printable(type);
    err_set(err, ERR_DESTINATION,
            "%s answered %d with %s to %s: is it an S3 service? Check --endpoint-url",
            ctx->endpoint, answer->status, type, ctx->operation);
    err->http_status = answer->status;
}

/* ---- what a store lacks ---- */

static bool has_word(const char *text, const char *word)
{
    size_t len = strlen(word);
    for (; *text; text++)
        if (strncasecmp(text, word, len) == 0)
            return true;
    return false;
}

/* The setting that does without what this store refuses and S3 takes, or NULL. Cloudflare R2
 * refuses by NotImplemented with the header's name in the message, AWS once did with <Header>,
 * Backblaze B2 by InvalidArgument; unequal parts are R2's InvalidPart, too many Scaleway's
 * InvalidArgument. */
static const char *setting_for(const struct s3_context *ctx, const struct doc *doc, enum kind kind)
{
    bool not_implemented = strcmp(doc->code, "NotImplemented") == 0;
    const struct {
        const char *word, *setting;
        bool may_be;
    } table[] = {
        {"checksum", "--checksum none", ctx->checksums},
        {"if-none-match", "--conditional-writes off", ctx->conditional},
        {"if-match", "--conditional-writes off", ctx->conditional},
        {"conditional", "--conditional-writes off", ctx->conditional},
        {"parts must have the same length", "--part-layout uniform", true},
        {"part number must be", "--max-parts with its limit", true},
    };
    if (!doc->is_error || (kind != KIND_OTHER && kind != KIND_PROTOCOL && !not_implemented))
        return NULL;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if (table[i].may_be &&
            (has_word(doc->message, table[i].word) || has_word(doc->header, table[i].word)))
            return table[i].setting;
    if (!not_implemented)
        return NULL;
    return ctx->conditional && ctx->checksums ? "--conditional-writes off or --checksum none"
           : ctx->conditional                 ? "--conditional-writes off"
           : ctx->checksums                   ? "--checksum none"
                                              : NULL;
}

static bool is_html(const struct s3_answer *answer)
{
    return answer->content_type && strncmp(answer->content_type, "text/html", 9) == 0;
}

/* What has no code that we know. */
static void set_other(struct err *err, const struct s3_context *ctx, const struct doc *doc,
                      const struct s3_answer *answer, const char *why)
{
    int status = answer->status;
    if (doc->is_error)
        err_set(err, ERR_HTTP, "%s: %s: %s", ctx->what, ctx->operation, why);
    else if (status == 408 || status == 425 || status == 429)
        err_set(err, ERR_HTTP, "%s: %s: %s answered %d", ctx->what, ctx->operation, ctx->endpoint,
                status);
    else if (answer->head && status == 404 && !is_html(answer))
        err_set(err, ERR_NOT_FOUND, "%s does not exist", ctx->what);
    else if (answer->head && (status == 400 || status == 401 || status == 403))
        err_set(err, ERR_AUTH,
                "%s: HeadObject is refused (%d; a reason is never given to it): check the "
                "credentials from %s and the region %s, and allow them %s%s",
                ctx->what, status, ctx->provider, ctx->region, permission(ctx->operation),
                status == 400 && ctx->checksums
                    ? "; a store that takes no x-amz-checksum-mode needs --checksum none"
                    : "");
    else
        s3_error_not_s3(err, ctx, answer);
}

void s3_error_set(struct err *err, const struct s3_context *ctx, const struct s3_answer *answer)
{
    struct doc doc = read_doc(answer->body, answer->body_len);
    char text[sizeof(doc.code) + sizeof(doc.message) + 8];
    const char *why = reason(&doc, answer, text, sizeof(text));
    enum kind kind = kind_of(&doc, answer);
    int status = answer->status;
    const char *setting = setting_for(ctx, &doc, kind);
    if (setting)
        kind = KIND_LACKING;
    switch (kind) {
    case KIND_BUCKET:
        err_set(err, ERR_DESTINATION, "bucket %s does not exist at %s: create it, or correct --to",
                ctx->bucket, ctx->endpoint);
        break;
    case KIND_KEY:
        err_set(err, ERR_NOT_FOUND, "%s does not exist", ctx->what);
        break;
    case KIND_UPLOAD:
        err_set(err, ERR_PROTOCOL, "%s: its multipart upload is gone (%s): something aborted it",
                ctx->what, why);
        status = 404;
        break;
    case KIND_EXISTS:
        err_set(err, ERR_EXISTS, "%s is taken (%s)", ctx->what, why);
        break;
    case KIND_CONFLICT:
        err_set(err, ERR_PROTOCOL, "%s: %s: another write of it is under way (%s): try again later",
                ctx->what, ctx->operation, why);
        status = 409; /* a 200 of CompleteMultipartUpload means the same */
        break;
    case KIND_ACCESS:
    case KIND_KEY_ID:
    case KIND_SECRET:
    case KIND_TOKEN:
        set_auth(err, ctx, kind, why);
        break;
    case KIND_REGION:
        set_region(err, ctx, &doc, answer);
        break;
    case KIND_CLOCK:
        set_clock(err, ctx, answer);
        break;
    case KIND_BUSY:
        err_set(err, ERR_HTTP, "%s: %s: %s is busy or has a fault (%s)", ctx->what, ctx->operation,
                ctx->endpoint, why);
        if (status < 500 && status != 429) /* 200 and 400 mean the same here */
            status = 503;
        break;
    case KIND_INTEGRITY:
    case KIND_DESTINATION:
    case KIND_PROTOCOL:
        err_set(err,
                kind == KIND_INTEGRITY     ? ERR_INTEGRITY
                : kind == KIND_DESTINATION ? ERR_DESTINATION
                                           : ERR_PROTOCOL,
                "%s: %s: %s", ctx->what, ctx->operation, why);
        break;
    case KIND_LACKING:
        err_set(err, ERR_DESTINATION, "%s: %s: this store needs %s: %s", ctx->what, ctx->operation,
                setting, why);
        break;
    case KIND_BROKEN:
        set_broken(err, ctx, answer);
        status = 0;
        break;
    case KIND_OTHER:
        set_other(err, ctx, &doc, answer, why);
        break;
    }
    err->http_status = status;
    err->retry_after_ms = answer->retry_after_ms;
}

bool s3_error_upload_gone(const struct err *err)
{
    return (err->code == ERR_PROTOCOL || err->code == ERR_NOT_FOUND) && err->http_status == 404;
}

bool s3_error_conflict(const struct err *err)
{
    return err->code == ERR_PROTOCOL && err->http_status == 409;
}

struct s3_lesson s3_error_lesson(const struct s3_answer *answer, int64_t signed_ms)
{
    struct s3_lesson lesson = {0};
    struct doc doc = read_doc(answer->body, answer->body_len);
    enum kind kind = kind_of(&doc, answer);
    bool elsewhere = kind == KIND_REGION || answer->status == 307;
    const char *region = elsewhere ? told_region(&doc, answer) : NULL;
    if (region && strlen(region) < sizeof(lesson.region))
        memcpy(lesson.region, region, strlen(region) + 1);
    /* A HEAD is refused without a reason. */
    int64_t tolerated_ms = kind == KIND_CLOCK                      ? SKEW_LEAST_MS
                           : answer->head && answer->status == 403 ? SKEW_REFUSED_MS
                                                                   : INT64_MAX;
    int64_t now_ms;
    if (answer->date && date_parse_http(answer->date, &now_ms) == 0 && now_ms > 0 &&
        llabs(now_ms - signed_ms) > tolerated_ms)
        lesson.now_ms = now_ms;
    return lesson;
}
