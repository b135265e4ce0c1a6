/* SPDX-License-Identifier: Apache-2.0
 *
 * signature: see signature.h. Standard Webhooks: github.com/standard-webhooks/standard-webhooks,
 * spec/standard-webhooks.md. X-Hub-Signature-256: GitHub's "Validating webhook deliveries".
 */
#include "event/signature.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/secret.h"
#include "core/text.h"

enum {
    HASH_SIZE = 32,
    HASH_BASE64 = 44,
    FILE_MAX = 64 * 1024,
    /* Signatures looked at in one webhook-signature: one for each secret of the sender's. */
    SIGNATURES_MAX = 64,
};

#define WHSEC      "whsec_"
#define UNRESERVED "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
#define EXPECTED                                                                                   \
    "expected \"token VALUE\", \"standard-webhooks whsec_VALUE\" or \"hub-sha256 VALUE\""

enum kind { KIND_TOKEN, KIND_STANDARD, KIND_HUB, KINDS };

static const char *const kind_names[KINDS] = {"token", "standard-webhooks", "hub-sha256"};

struct key {
    enum kind kind;
    size_t len;
    unsigned char secret[SIGNATURE_SECRET_MAX];
};

struct signature_keys {
    size_t n;
    bool has[KINDS];
    struct key keys[SIGNATURE_KEYS_MAX];
};

/* ---- the file ---------------------------------------------------------------------------------
 */

static int take_secret(struct key *key, const void *secret, size_t len, struct err *err)
{
    if (len < SIGNATURE_SECRET_MIN || len > SIGNATURE_SECRET_MAX)
        return err_set(err, ERR_CONFIG, "a secret of %zu bytes; expected %d to %d", len,
                       SIGNATURE_SECRET_MIN, SIGNATURE_SECRET_MAX);
    memcpy(key->secret, secret, len);
    key->len = len;
    return 0;
}

static int take_token(struct key *key, const char *value, size_t len, struct err *err)
{
    /* What URLs carry as it stands, whoever writes them (RFC 3986, unreserved). */
    for (size_t i = 0; i < len; i++)
        if (!strchr(UNRESERVED, value[i]))
            return err_set(err, ERR_CONFIG, "a token of other than A-Z a-z 0-9 . _ ~ -");
    return take_secret(key, value, len, err);
}

static int take_standard(struct key *key, const char *value, size_t len, struct err *err)
{
    unsigned char secret[3 * SIGNATURE_SECRET_MAX / 2];
    size_t prefix = strlen(WHSEC);
    if (len < prefix || memcmp(value, WHSEC, prefix) != 0)
        return err_set(err, ERR_CONFIG, "expected a secret that begins with " WHSEC);
    int n = len - prefix > 2 * SIGNATURE_SECRET_MAX - 8
                ? -1
                : text_unbase64(value + prefix, len - prefix, secret);
    if (n < 0)
        return err_set(err, ERR_CONFIG, "expected base64 of %d to %d bytes behind " WHSEC,
                       SIGNATURE_SECRET_MIN, SIGNATURE_SECRET_MAX);
    int rc = take_secret(key, secret, (size_t)n, err);
    OPENSSL_cleanse(secret, sizeof(secret));
    return rc;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static int parse_line(struct signature_keys *keys, const char *line, size_t len, struct err *err)
{
    enum kind kind = KINDS;
    size_t word = 0;
    while (word < len && !is_blank(line[word]))
        word++;
    for (int k = 0; k < KINDS; k++)
        if (strlen(kind_names[k]) == word && memcmp(line, kind_names[k], word) == 0)
            kind = (enum kind)k;
    if (kind == KINDS)
        return err_set(err, ERR_CONFIG, EXPECTED);
    if (keys->n == SIGNATURE_KEYS_MAX)
        return err_set(err, ERR_CONFIG, "expected at most %d secrets", SIGNATURE_KEYS_MAX);
    const char *value = line + word;
    const char *end = line + len;
    while (value < end && is_blank(*value))
        value++;
    while (kind != KIND_HUB && end > value && is_blank(end[-1])) /* of a hub's they are part */
        end--;
    struct key *key = &keys->keys[keys->n];
    key->kind = kind;
    size_t n = (size_t)(end - value);
    int rc = kind == KIND_TOKEN      ? take_token(key, value, n, err)
             : kind == KIND_STANDARD ? take_standard(key, value, n, err)
                                     : take_secret(key, value, n, err);
    if (rc < 0)
        return -1;
    keys->has[kind] = true;
    keys->n++;
    return 0;
}

struct signature_keys *signature_keys_parse(const char *text, size_t len, const char *what,
                                            struct err *err)
{
    struct signature_keys *keys = xcalloc(1, sizeof(*keys));
    const char *line = text, *end = text + len;
    if (len > 0 && memchr(text, '\0', len)) {
        err_set(err, ERR_CONFIG, "%s: a NUL character; expected text", what);
        goto failed;
    }
    for (unsigned number = 1; line < end; number++) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        const char *next = stop ? stop + 1 : end;
        size_t n = (size_t)((stop ? stop : end) - line);
        if (n > 0 && line[n - 1] == '\r')
            n--;
        size_t blanks = 0;
        while (blanks < n && is_blank(line[blanks]))
            blanks++;
        line += blanks;
        n -= blanks;
        if (n > 0 && *line != '#' && parse_line(keys, line, n, err) < 0) {
            err_prefix(err, "%s, line %u", what, number);
            goto failed;
        }
        line = next;
    }
    if (keys->n > 0)
        return keys;
    err_set(err, ERR_CONFIG, "%s: no secret in it; " EXPECTED, what);
failed:
    signature_keys_free(keys);
    return NULL;
}

static int read_keys(const char *path, struct buf *text, struct err *err)
{
    /* Not to hang on a FIFO. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return err_set_errno(err, ERR_CONFIG, errno, "cannot open the secrets file %s", path);
    struct stat st;
    char chunk[4096];
    ssize_t n = -1;
    int rc = -1;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        err_set(err, ERR_CONFIG, "the secrets file %s is not a regular file", path);
        goto out;
    }
    if (st.st_mode & S_IRWXO)
        log_warn("the secrets file %s may be read by every user of this machine; chmod o= would "
                 "end that",
                 path);
    while ((n = read(fd, chunk, sizeof(chunk))) > 0 && buf_append(text, chunk, (size_t)n) == 0)
        ;
    OPENSSL_cleanse(chunk, sizeof(chunk));
    if (n < 0)
        err_set_errno(err, ERR_CONFIG, errno, "cannot read the secrets file %s", path);
    else if (buf_overflowed(text))
        err_set(err, ERR_CONFIG, "the secrets file %s: expected at most %d bytes", path, FILE_MAX);
    else
        rc = 0;
out:
    (void)close(fd);
    return rc;
}

struct signature_keys *signature_keys_load(const char *path, struct err *err)
{
    struct signature_keys *keys = NULL;
    struct buf text = BUF_INIT(FILE_MAX);
    /* Once, so that nothing of it stays behind where the buffer has grown. */
    text.data = xcalloc(1, FILE_MAX + 1);
    text.size = FILE_MAX + 1;
    if (read_keys(path, &text, err) == 0)
        keys = signature_keys_parse(buf_str(&text), text.len, path, err);
    OPENSSL_cleanse(text.data, text.size);
    buf_release(&text);
    return keys;
}

void signature_keys_free(struct signature_keys *keys)
{
    if (!keys)
        return;
    OPENSSL_cleanse(keys, sizeof(*keys));
    free(keys);
}

/* ---- a request --------------------------------------------------------------------------------
 */

static void hmac(const struct key *key, const void *data, size_t len, unsigned char out[HASH_SIZE])
{
    CHECK(HMAC(EVP_sha256(), key->secret, (int)key->len, data, len, out, NULL));
}

static bool is_token(const struct key *key, const char *given)
{
    return given && secret_is_same(given, strlen(given), key->secret, key->len);
}

/* RFC 6750, 2.1; the scheme's name in any case (RFC 9110, 11.1). */
static const char *bearer_of(const char *authorization)
{
    if (!authorization || strncasecmp(authorization, "Bearer ", 7) != 0)
        return NULL;
    authorization += 7;
    return authorization + strspn(authorization, " ");
}

static bool token_fits(const struct signature_keys *keys, const struct signature_given *given)
{
    const char *bearer = bearer_of(given->authorization);
    bool fits = false;
    for (size_t i = 0; i < keys->n; i++) {
        const struct key *key = &keys->keys[i];
        if (key->kind != KIND_TOKEN)
            continue;
        bool query = is_token(key, given->query_token);
        bool header = is_token(key, given->header_token);
        fits |= query | header | is_token(key, bearer);
    }
    return fits;
}

static bool hub_fits(const struct signature_keys *keys, const struct signature_given *given)
{
    static const char prefix[] = "sha256=";
    const char *signature = given->hub_signature;
    bool fits = false;
    if (!signature || strncmp(signature, prefix, strlen(prefix)) != 0)
        return false;
    signature += strlen(prefix);
    char lower[2 * HASH_SIZE + 1] = "";
    size_t n = strlen(signature);
    if (n != 2 * HASH_SIZE)
        return false;
    for (size_t i = 0; i < n; i++) /* some senders write it in capitals */
        lower[i] =
            signature[i] >= 'A' && signature[i] <= 'F' ? (char)(signature[i] + 32) : signature[i];
    for (size_t i = 0; i < keys->n; i++) {
        unsigned char hash[HASH_SIZE];
        char hex[2 * HASH_SIZE + 1];
        if (keys->keys[i].kind != KIND_HUB)
            continue;
        hmac(&keys->keys[i], given->body, given->body_len, hash);
        text_hex(hash, HASH_SIZE, hex);
        fits |= secret_is_same(lower, n, hex, n);
    }
    return fits;
}

/* Whether one of "v1,BASE64 v1,BASE64 ..." is that of the hash. Other versions are passed over. */
static bool is_listed(const char *signatures, const unsigned char hash[HASH_SIZE])
{
    char expected[HASH_BASE64 + 1];
    bool listed = false;
    text_base64(hash, HASH_SIZE, expected);
    for (int i = 0; i < SIGNATURES_MAX && *signatures; i++) {
        size_t n = strcspn(signatures, " ");
        if (n > 3 && memcmp(signatures, "v1,", 3) == 0)
            listed |= secret_is_same(signatures + 3, n - 3, expected, HASH_BASE64);
        signatures += n + strspn(signatures + n, " ");
    }
    return listed;
}

/* What is signed: ID.TIMESTAMP.BODY */
static bool standard_fits(const struct signature_keys *keys, const struct signature_given *given)
{
    struct buf content = BUF_INIT(strlen(given->webhook_id) + strlen(given->webhook_timestamp) +
                                  given->body_len + 2);
    bool fits = false;
    buf_printf(&content, "%s.%s.", given->webhook_id, given->webhook_timestamp);
    buf_append(&content, given->body, given->body_len);
    CHECK(!buf_overflowed(&content));
    for (size_t i = 0; i < keys->n; i++) {
        unsigned char hash[HASH_SIZE];
        if (keys->keys[i].kind != KIND_STANDARD)
            continue;
        hmac(&keys->keys[i], buf_str(&content), content.len, hash);
        fits |= is_listed(given->webhook_signature, hash);
    }
    buf_release(&content);
    return fits;
}

static int check_standard(const struct signature_keys *keys, const struct signature_given *given,
                          int64_t now_ms, struct err *err)
{
    int64_t at_s;
    if (!given->webhook_id || !*given->webhook_id || !given->webhook_timestamp)
        return err_set(
            err, ERR_AUTH,
            "webhook-signature alone; expected webhook-id and webhook-timestamp with it");
    if (text_parse_int(given->webhook_timestamp, 0, INT64_MAX / 1000, &at_s) < 0)
        return err_set(err, ERR_AUTH, "webhook-timestamp: expected seconds since 1970");
    if (!standard_fits(keys, given))
        return err_set(err, ERR_AUTH, "webhook-signature is not that of one of our secrets");
    int64_t off_s = now_ms / 1000 - at_s;
    if (off_s > SIGNATURE_TOLERANCE_S || off_s < -SIGNATURE_TOLERANCE_S)
        return err_set(
            err, ERR_AUTH,
            "webhook-timestamp is %lld seconds %s; expected at most %d; is a clock wrong?",
            (long long)(off_s < 0 ? -off_s : off_s), off_s < 0 ? "ahead" : "old",
            SIGNATURE_TOLERANCE_S);
    return 0;
}

static int say_what_is_missing(const struct signature_keys *keys, const char *brought,
                               struct err *err)
{
    static const char *const ways[KINDS] = {
        "?token=TOKEN behind the URL, x-egress-token: TOKEN or Authorization: Bearer TOKEN",
        "a signature as of Standard Webhooks (webhook-signature)",
        "X-Hub-Signature-256: sha256=HEX",
    };
    struct buf list = BUF_INIT(512);
    for (int k = 0; k < KINDS; k++)
        if (keys->has[k])
            buf_printf(&list, "%s%s", list.len ? "; or " : "", ways[k]);
    err_set(err, ERR_AUTH, "%s; expected %s", brought, buf_str(&list));
    buf_release(&list);
    return -1;
}

int signature_check(const struct signature_keys *keys, const struct signature_given *given,
                    int64_t now_ms, struct err *err)
{
    struct err why = {0};
    if (token_fits(keys, given) || hub_fits(keys, given))
        return 0;
    if (keys->has[KIND_STANDARD] && given->webhook_signature) {
        if (check_standard(keys, given, now_ms, &why) == 0)
            return 0;
        *err = why;
        return -1;
    }
    if (keys->has[KIND_HUB] && given->hub_signature)
        return say_what_is_missing(keys, "X-Hub-Signature-256 is not that of one of our secrets",
                                   err);
    if (keys->has[KIND_TOKEN] &&
        (given->query_token || given->header_token || given->authorization))
        return say_what_is_missing(keys, "this is not one of our tokens", err);
    return say_what_is_missing(keys, "neither token nor signature", err);
}
