/* SPDX-License-Identifier: Apache-2.0
 *
 * secret: see secret.h.
 */
#include "lambda/secret.h"

#include <stdlib.h>
#include <string.h>

#include "aws/secrets.h"
#include "core/clock.h"
#include "core/mem.h"
#include "platform/token.h"

static void on_secret(void *arg, const void *data, size_t len, const struct err *err)
{
    struct secret *secret = arg;
    secret->changed = !err && !(secret->text && secret->len == len &&
                                (len == 0 || memcmp(secret->text, data, len) == 0));
    if (secret->changed) {
        secret_forget(secret);
        secret->text = xcalloc(len + 1, 1);
        secret->len = len;
        if (len)
            memcpy(secret->text, data, len);
    }
    secret->done(secret->arg, err);
}

static int open_client(struct secret *secret, struct assembly *a, const struct settings *s,
                       struct err *err)
{
    if (assemble_more(a, s, ASSEMBLE_AWS, NULL, err) < 0)
        return -1;
    struct secrets_config config = {
        .id = secret->arn, .region = settings_text(s, SET_REGION), .credentials = a->credentials};
    secret->client = secrets_new(a->loop, &config, err);
    return secret->client ? 0 : -1;
}

int secret_fetch(struct secret *secret, struct assembly *a, const struct settings *s,
                 secret_done_fn *done, void *arg, struct err *err)
{
    if (!secret->client && open_client(secret, a, s, err) < 0)
        return -1;
    secret->done = done;
    secret->arg = arg;
    secret->fetched_ms = clock_mono_ms();
    secrets_get(secret->client, on_secret, secret);
    return 0;
}

void secret_cancel(struct secret *secret)
{
    if (secret->client)
        secrets_cancel(secret->client);
}

void secret_forget(struct secret *secret)
{
    if (secret->text)
        token_wipe(secret->text, secret->len);
    free(secret->text);
    secret->text = NULL;
    secret->len = 0;
}

void secret_release(struct secret *secret)
{
    secret_forget(secret);
    secrets_free(secret->client);
    secret->client = NULL;
}
