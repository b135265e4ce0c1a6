/* SPDX-License-Identifier: Apache-2.0
 *
 * token: the Platform's API token: where it lies, what is in it, and which one is used.
 *
 * Reads files of at most 64 KiB. Messages name the file or variable, never what is in it. All
 * failures are ERR_CONFIG. Any thread, as long as nobody changes the environment.
 *
 *     struct token token = {0};
 *     if (token_load(settings_text(s, SET_TOKEN_FILE), &token, &err) < 0) ...
 *     struct source *source = voxel51_new(loop, &(struct voxel51_config){.token = &token}, &err);
 *     token_release(&token);
 */
#ifndef EGRESS_PLATFORM_TOKEN_H
#define EGRESS_PLATFORM_TOKEN_H

#include <stddef.h>

#include "core/err.h"

struct token {
    char *private_key; /* owned; the bearer secret: visible ASCII, opaque; wiped on release */
    char *base_url;    /* owned; "https://api.voxel51.com/v1": no slash at its end */
    char *file; /* owned; what it was read from; NULL: VOXEL51_API_PRIVATE_KEY, or token_parse() */
};

/* The first of: the file `path` (if not NULL); VOXEL51_API_PRIVATE_KEY with VOXEL51_API_BASE_URL;
 * the file that VOXEL51_API_TOKEN names; ~/.voxel51/api-token.json. An empty variable is an unset
 * one. What is named but cannot be used is an error and never passed over (platform API, 2.2). */
int token_load(const char *path, struct token *token, struct err *err) MUST_CHECK;

/* Reads the JSON text of a token: {"access_token":{...}}, the inner object alone, or the whole
 * encoded once more as a JSON string. `what` names its origin in messages and in the warning that
 * it has no base_api_url and the default is used. */
int token_parse(const char *text, size_t len, const char *what, struct token *token,
                struct err *err) MUST_CHECK;

/* Wipes the key. A zeroed token is fine. */
void token_release(struct token *token);

/* Overwrites a secret in a way that the compiler keeps. */
void token_wipe(char *secret, size_t len);

#endif
