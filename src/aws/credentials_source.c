/* SPDX-License-Identifier: Apache-2.0
 *
 * credentials_source: the pieces that providers are made of.
 */
#include "aws/credentials_source.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/json.h"
#include "core/mem.h"

/* Of a file that holds a token. STS takes 20,000 characters. */
enum { SECRET_FILE_MAX = 64 * 1024 };

/* ---- credentials ---- */

static void wipe(char *secret)
{
    if (secret)
        OPENSSL_cleanse(secret, strlen(secret));
    free(secret);
}

void aws_credentials_release(struct aws_credentials *c)
{
    free(c->access_key_id);
    wipe(c->secret_access_key);
    wipe(c->session_token);
    *c = (struct aws_credentials){0};
}

struct aws_credentials credentials_copy(const struct aws_credentials *c)
{
    return (struct aws_credentials){
        .access_key_id = xstrdup(c->access_key_id),
        .secret_access_key = xstrdup(c->secret_access_key),
        .session_token = xstrdup(c->session_token),
        .expires_ms = c->expires_ms,
        .provider = c->provider,
    };
}

const char *credentials_variable(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

static bool present(const char *value)
{
    return value && *value;
}

/* Key id and token go into headers and never have a blank; a secret may hold what its store allows,
 * but no line end: either is a copying mistake. */
static int check_value(const char *name, const char *value, const char *allowed_blank,
                       const char *where, struct err *err)
{
    for (const char *c = value; *c; c++)
        if (((unsigned char)*c <= ' ' || *c == 0x7f) && !strchr(allowed_blank, *c))
            return err_set(err, ERR_CONFIG,
                           "%s of %s has a blank, a line end or a control character in it: copy it "
                           "again",
                           name, where);
    return 0;
}

int credentials_fill(struct aws_credentials *out, const struct credentials_found *found,
                     struct err *err)
{
    bool id = present(found->id), secret = present(found->secret);
    if (!id && !secret)
        return 0;
    if (!id || !secret)
        return err_set(err, ERR_CONFIG, "%s is set in %s, but %s is not: set both or neither",
                       id ? found->id_name : found->secret_name, found->where,
                       id ? found->secret_name : found->id_name);
    bool token = present(found->token);
    if (check_value(found->id_name, found->id, "", found->where, err) < 0 ||
        check_value(found->secret_name, found->secret, " ", found->where, err) < 0 ||
        (token && check_value(found->token_name, found->token, "", found->where, err) < 0))
        return -1;
    *out = (struct aws_credentials){
        .access_key_id = xstrdup(found->id),
        .secret_access_key = xstrdup(found->secret),
        .session_token = token ? xstrdup(found->token) : NULL,
        .provider = found->provider,
    };
    return 1;
}

/* ---- sources ---- */

int credentials_keys(const struct credentials_lookup *l, const struct credentials_found *found,
                     struct credentials_source **out, struct err *err)
{
    struct aws_credentials keys;
    int result = credentials_fill(&keys, found, err);
    if (result == 1) {
        *out = xcalloc(1, sizeof(**out));
        **out =
            (struct credentials_source){.provider = found->provider, .loop = l->loop, .keys = keys};
    }
    return result;
}

void credentials_source_fetch(struct credentials_source *s, credentials_fetched_fn *done, void *arg)
{
    CHECK(s->ops && !s->done);
    s->done = done;
    s->arg = arg;
    s->ops->fetch(s);
}

void credentials_source_cancel(struct credentials_source *s)
{
    s->ops->cancel(s);
}

void credentials_source_free(struct credentials_source *s)
{
    if (!s)
        return;
    CHECK(!s->done);
    free(s->where);
    if (s->ops) {
        s->ops->free(s);
    } else {
        aws_credentials_release(&s->keys);
        free(s);
    }
}

void credentials_source_end(struct credentials_source *s, const struct aws_credentials *found,
                            const struct err *err)
{
    credentials_fetched_fn *done = s->done;
    s->done = NULL;
    done(s->arg, found, err);
}

static void fail_task(void *arg)
{
    struct credentials_source *s = arg;
    struct err err = s->failed;
    credentials_source_end(s, NULL, &err);
}

void credentials_source_fail(struct credentials_source *s, const struct err *err)
{
    s->failed = *err;
    loop_post(s->loop, &s->task, fail_task, s);
}

/* ---- what comes in JSON ---- */

static const char *text_of(const json_t *root, const char *key)
{
    const char *text = json_string_value(json_object_get(root, key));
    return text && *text ? text : NULL;
}

/* Why there are no keys in it. Only a Code is told: a Message may say anything. */
static int no_keys(const json_t *root, const char *where, struct err *err)
{
    const char *code = text_of(root, "Code");
    if (!code || strcmp(code, "Success") == 0 || strlen(code) > 64 ||
        strspn(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") !=
            strlen(code))
        return err_set(err, ERR_PROTOCOL,
                       "%s: expected an object with AccessKeyId and SecretAccessKey", where);
    return err_set(err, ERR_PROTOCOL, "%s: there are no keys, but the code %s", where, code);
}

static int read_object(struct aws_credentials *out, const char *provider, const char *where,
                       int version, const json_t *root, struct err *err)
{
    const json_t *number = json_object_get(root, "Version");
    if (version && (!json_is_integer(number) || json_integer_value(number) != version))
        return err_set(err, ERR_PROTOCOL, "%s: expected \"Version\": %d", where, version);
    const char *token = text_of(root, "Token");
    const struct credentials_found found = {
        .provider = provider,
        .where = where,
        .id_name = "AccessKeyId",
        .id = text_of(root, "AccessKeyId"),
        .secret_name = "SecretAccessKey",
        .secret = text_of(root, "SecretAccessKey"),
        .token_name = "the session token",
        .token = token ? token : text_of(root, "SessionToken"),
    };
    const char *expiration = text_of(root, "Expiration");
    int64_t expires_ms = 0;
    if (expiration && date_parse_iso8601(expiration, &expires_ms) < 0)
        return err_set(err, ERR_PROTOCOL, "%s: Expiration is no ISO 8601 date", where);
    if (credentials_fill(out, &found, err) < 0) {
        err->code = ERR_PROTOCOL;
        return -1;
    }
    if (!found.id)
        return no_keys(root, where, err);
    out->expires_ms = expires_ms;
    return 0;
}

int credentials_from_json(struct aws_credentials *out, const char *provider, const char *where,
                          int version, const char *json, size_t len, struct err *err)
{
    json_error_t why;
    json_t *root = json_loadb(json, len, JSON_REJECT_DUPLICATES, &why);
    if (!root) {
        json_refused(err, where, &why);
        err->code = ERR_PROTOCOL;
        return -1;
    }
    int rc = read_object(out, provider, where, version, root, err);
    json_decref(root);
    return rc;
}

/* ---- files ---- */

void credentials_wipe(struct buf *b)
{
    if (b->data)
        OPENSSL_cleanse(b->data, b->size);
    buf_release(b);
}

/* 0, or -1 with errno. Stops one byte behind the cap. */
static int read_all(int fd, struct buf *out)
{
    char data[4096];
    ssize_t n = 0;
    while (out->len <= SECRET_FILE_MAX && (n = read(fd, data, sizeof(data))) != 0) {
        if (n > 0)
            buf_append(out, data, (size_t)n);
        else if (errno != EINTR)
            break;
    }
    OPENSSL_cleanse(data, sizeof(data));
    return n < 0 ? -1 : 0;
}

int credentials_read_file(const char *name, const char *path, struct buf *out, struct err *err)
{
    *out = BUF_INIT(SECRET_FILE_MAX);
    /* O_NONBLOCK: opening a FIFO that nobody writes to must not hang. */
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0) {
        err_set_errno(err, ERR_CONFIG, errno, "%s: %s cannot be opened", name, path);
        if (fd >= 0)
            close(fd);
        return -1;
    }
    struct buf raw = BUF_INIT(SECRET_FILE_MAX + 8192);
    int rc = -1;
    if (!S_ISREG(st.st_mode))
        err_set(err, ERR_CONFIG, "%s: %s is %s; expected a file with a token", name, path,
                S_ISDIR(st.st_mode) ? "a directory" : "not a regular file");
    else if (read_all(fd, &raw) < 0)
        err_set_errno(err, ERR_CONFIG, errno, "%s: %s cannot be read", name, path);
    else if (raw.len > SECRET_FILE_MAX)
        err_set(err, ERR_CONFIG, "%s: %s is larger than 64 KiB; expected a token", name, path);
    else
        rc = 0;
    close(fd);
    size_t from = strspn(buf_str(&raw), " \t\r\n"), to = raw.len;
    while (to > from && strchr(" \t\r\n", raw.data[to - 1]))
        to--;
    for (size_t i = from; rc == 0 && i < to; i++)
        if ((unsigned char)raw.data[i] <= ' ' || (unsigned char)raw.data[i] > '~')
            rc = err_set(err, ERR_CONFIG, "%s: what is in %s is no token", name, path);
    if (rc == 0 && from == to)
        rc = err_set(err, ERR_CONFIG, "%s: %s is empty; expected a token", name, path);
    if (rc == 0)
        buf_append(out, raw.data + from, to - from);
    credentials_wipe(&raw);
    return rc;
}
