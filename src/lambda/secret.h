/* SPDX-License-Identifier: Apache-2.0
 *
 * secret: a secret of Secrets Manager that is kept until somebody asks for it to be fetched again.
 * Loop's thread.
 *
 *     struct secret secret = {.arn = getenv("SECRET_ARN")};
 *     secret_fetch(&secret, &assembly, &settings, on_fetched, me);
 *     use(secret.text, secret.len);
 *     secret_release(&secret);
 */
#ifndef EGRESS_LAMBDA_SECRET_H
#define EGRESS_LAMBDA_SECRET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "assemble/assemble.h"
#include "core/settings.h"

typedef void secret_done_fn(void *arg, const struct err *err); /* err NULL: it worked */

struct secret {
    const char *arn; /* borrowed; or a name */
    char *text;      /* owned; len bytes and a NUL; NULL: not there; wiped on release */
    size_t len;
    int64_t fetched_ms; /* clock_mono_ms() of the latest fetch that was begun */
    bool changed;       /* by the latest fetch; the first one counts */

    struct secrets *client; /* owned */
    secret_done_fn *done;
    void *arg;
};

/* Fetches it, whether it is there or not; what is there stays until there is another. One
 * completion, from the loop. -1 (and none) when there is no way to ask. */
int secret_fetch(struct secret *secret, struct assembly *a, const struct settings *s,
                 secret_done_fn *done, void *arg, struct err *err) MUST_CHECK;
/* The completion of a fetch under way comes soon, with ERR_CANCELLED. None under way is fine. */
void secret_cancel(struct secret *secret);
void secret_forget(struct secret *secret); /* the text */
/* No fetch may be under way. A zeroed one is fine. */
void secret_release(struct secret *secret);

#endif
