/* SPDX-License-Identifier: Apache-2.0
 *
 * token: see token.h.
 */
#include "platform/token.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/json.h"
#include "core/log.h"
#include "core/mem.h"
#include "net/url.h"

enum { FILE_MAX = 64 * 1024 };

static const char default_base[] = "https://api.voxel51.com";

void token_wipe(char *secret, size_t len)
{
    volatile char *p = secret;
    while (len--)
        *p++ = '\0';
}

void token_release(struct token *token)
{
    if (token->private_key)
        token_wipe(token->private_key, strlen(token->private_key));
    free(token->private_key);
    free(token->base_url);
    free(token->file);
    *token = (struct token){0};
}

static bool all_visible(const char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s <= ' ' || (unsigned char)*s > '~')
            return false;
    return true;
}

/* As the vendor's clients join it: slashes off both ends, "/v1" appended, a path prefix kept. NULL
 * when it is not a plain http(s) URL. Caller frees. */
static char *normalise_base(const char *text)
{
    text += strspn(text, "/");
    size_t len = strlen(text);
    while (len > 0 && text[len - 1] == '/')
        len--;
    char *base = xprintf("%.*s/v1", (int)len, text);
    struct url url = {0};
    /* Its message would quote the text, and with it a password. */
    struct err ignored = {0};
    bool good =
        len < FILE_MAX && all_visible(base) && url_parse(base, &url, &ignored) == 0 && !url.query;
    url_release(&url);
    if (!good) {
        free(base);
        return NULL;
    }
    return base;
}

/* `key_what` and `base_what` name the two in messages. */
static int fill(struct token *token, const char *key, const char *base, const char *key_what,
                const char *base_what, struct err *err)
{
    if (!all_visible(key))
        return err_set(err, ERR_CONFIG,
                       "%s contains spaces or characters that cannot be sent in an HTTP header; "
                       "give the key as it was issued",
                       key_what);
    char *url = normalise_base(base);
    if (!url)
        return err_set(err, ERR_CONFIG,
                       "%s is not a plain http or https URL; expected one like %s (no user name, "
                       "query or fragment)",
                       base_what, default_base);
    *token = (struct token){.private_key = xstrdup(key), .base_url = url};
    return 0;
}

static int parse_fields(json_t *root, const char *what, struct token *token, struct err *err)
{
    json_t *access = json_object_get(root, "access_token");
    if (!access)
        access = root;
    if (!json_is_object(access))
        return err_set(
            err, ERR_CONFIG,
            "%s: expected a JSON object {\"access_token\":{...}}; download the token again "
            "or create a new one",
            what);
    json_t *key = json_object_get(access, "private_key");
    if (!json_is_string(key) || json_string_length(key) == 0)
        return err_set(err, ERR_CONFIG,
                       "%s: the token has no private_key (a string that is not empty); download "
                       "the token again or create a new one",
                       what);
    json_t *base = json_object_get(access, "base_api_url");
    if (base && !json_is_null(base) && !json_is_string(base))
        return err_set(err, ERR_CONFIG, "%s: base_api_url is not a string; expected a URL like %s",
                       what, default_base);
    char *key_what = xprintf("%s: private_key", what);
    char *base_what = xprintf("%s: base_api_url", what);
    bool given = json_string_length(base) > 0;
    int rc = fill(token, json_string_value(key), given ? json_string_value(base) : default_base,
                  key_what, base_what, err);
    if (rc == 0 && !given)
        log_warn("%s: the token has no base_api_url; using %s", what, default_base);
    free(key_what);
    free(base_what);
    return rc;
}

int token_parse(const char *text, size_t len, const char *what, struct token *token,
                struct err *err)
{
    json_error_t where;
    int rc;
    json_t *root = json_loadb(text, len, JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL, &where);
    if (json_is_string(root)) {
        json_t *inner = json_loadb(json_string_value(root), json_string_length(root),
                                   JSON_DECODE_INT_AS_REAL, &where);
        json_decref(root);
        root = inner;
    }
    if (root) {
        rc = parse_fields(root, what, token, err);
    } else {
        struct err why = {0};
        (void)json_refused(&why, what, &where);
        rc = err_set(err, ERR_CONFIG, "%s; expected {\"access_token\":{...}}", why.msg);
    }
    json_decref(root);
    return rc;
}

/* Content of the regular file, or -1. */
static int read_file(const char *path, struct buf *text, struct err *err)
{
    /* Not to hang on a FIFO. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return err_set_errno(err, ERR_CONFIG, errno, "cannot open the token file %s", path);
    struct stat st;
    int rc = -1;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        err_set(err, ERR_CONFIG, "the token file %s is not a regular file", path);
        goto out;
    }
    char chunk[4096];
    ssize_t n;
    while ((n = read(fd, chunk, sizeof(chunk))) > 0 && buf_append(text, chunk, (size_t)n) == 0)
        ;
    token_wipe(chunk, sizeof(chunk));
    if (n < 0)
        err_set_errno(err, ERR_CONFIG, errno, "cannot read the token file %s", path);
    else if (buf_overflowed(text))
        err_set(err, ERR_CONFIG, "the token file %s is over %d KiB: not a token", path,
                FILE_MAX / 1024);
    else if (text->len == 0)
        err_set(err, ERR_CONFIG, "the token file %s is empty; expected {\"access_token\":{...}}",
                path);
    else
        rc = 0;
out:
    close(fd);
    return rc;
}

static int load_file(const char *path, struct token *token, struct err *err)
{
    struct buf text = BUF_INIT(FILE_MAX);
    /* All at once: growing would leave copies of the key in freed memory. */
    text.data = xcalloc(1, FILE_MAX + 1);
    text.size = FILE_MAX + 1;
    char *what = xprintf("token file %s", path);
    int rc = read_file(path, &text, err);
    if (rc == 0)
        rc = token_parse(buf_str(&text), text.len, what, token, err);
    if (rc == 0)
        token->file = xstrdup(path);
    token_wipe(text.data, text.len);
    buf_release(&text);
    free(what);
    return rc;
}

/* Value of the variable, or NULL when it is not set or empty. */
static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

int token_load(const char *path, struct token *token, struct err *err)
{
    if (path)
        return load_file(path, token, err);
    const char *key = variable("VOXEL51_API_PRIVATE_KEY");
    if (key) {
        const char *base = variable("VOXEL51_API_BASE_URL");
        return fill(token, key, base ? base : default_base, "VOXEL51_API_PRIVATE_KEY",
                    "VOXEL51_API_BASE_URL", err);
    }
    path = variable("VOXEL51_API_TOKEN");
    if (path) {
        int rc = load_file(path, token, err);
        if (rc < 0)
            err_prefix(err, "VOXEL51_API_TOKEN");
        return rc;
    }
    const char *home = variable("HOME");
    char *active = xprintf("%s/.voxel51/api-token.json", home ? home : "");
    struct stat st;
    int rc;
    if (home && (lstat(active, &st) == 0 || (errno != ENOENT && errno != ENOTDIR)))
        rc = load_file(active, token, err);
    else
        rc =
            err_set(err, ERR_CONFIG,
                    "no API token found: give --token-file FILE, or set VOXEL51_API_PRIVATE_KEY or "
                    "VOXEL51_API_TOKEN (a file), or put it into ~/.voxel51/api-token.json; tokens "
                    "are created at https://console.voxel51.com/account/tokens");
    free(active);
    return rc;
}
