/* SPDX-License-Identifier: Apache-2.0
 *
 * secrets: the files with what webhooks and the admin address ask for, at the start and anew.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "platform/token.h"
#include "serve/serve_private.h"

/* Not to hang on a FIFO. */
static FILE *open_regular(const char *path, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat st;
    if (fd < 0) {
        err_set_errno(err, ERR_CONFIG, errno, "%s", path);
        return NULL;
    }
    FILE *in = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? fdopen(fd, "r") : NULL;
    if (in)
        return in;
    close(fd);
    err_set(err, ERR_CONFIG, "%s is not a regular file", path);
    return NULL;
}

/* A file whose one line is the token. */
static struct signature_keys *load_token(const char *path, struct err *err)
{
    char line[sizeof("token ") + SIGNATURE_SECRET_MAX + 2] = "token ";
    FILE *in = open_regular(path, err);
    if (!in)
        return NULL;
    char *got = fgets(line + strlen(line), (int)(sizeof(line) - strlen(line)), in);
    fclose(in);
    struct signature_keys *keys = NULL;
    if (got)
        keys = signature_keys_parse(line, strlen(line), path, err);
    else
        err_set(err, ERR_CONFIG, "%s: nothing in it; expected a line with the token", path);
    token_wipe(line, sizeof(line));
    return keys;
}

/* *keys: NULL where no file is named. */
static int load(const struct settings *settings, enum setting which, struct signature_keys **keys,
                struct err *err)
{
    const char *path = settings_text(settings, which);
    *keys = NULL;
    if (!path)
        return 0;
    *keys = which == SET_ADMIN_TOKEN_FILE ? load_token(path, err) : signature_keys_load(path, err);
    if (*keys)
        return 0;
    err_prefix(err, "--%s", settings_flag(which));
    return -1;
}

int secrets_load(struct serve *s, struct err *err)
{
    struct signature_keys *webhooks, *admin;
    if (load(s->settings, SET_WEBHOOK_SECRETS, &webhooks, err) < 0)
        return -1;
    if (load(s->settings, SET_ADMIN_TOKEN_FILE, &admin, err) < 0) {
        signature_keys_free(webhooks);
        return -1;
    }
    pthread_rwlock_wrlock(&s->secrets.lock);
    signature_keys_free(s->secrets.webhooks);
    signature_keys_free(s->secrets.admin);
    s->secrets.webhooks = webhooks;
    s->secrets.admin = admin;
    pthread_rwlock_unlock(&s->secrets.lock);
    return 0;
}

void secrets_release(struct serve_secrets *secrets)
{
    signature_keys_free(secrets->webhooks);
    signature_keys_free(secrets->admin);
    pthread_rwlock_destroy(&secrets->lock);
}
