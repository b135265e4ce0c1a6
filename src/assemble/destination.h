/* SPDX-License-Identifier: Apache-2.0
 *
 * destination: what --to says. Pure. Any thread.
 *
 *     struct destination d;
 *     if (destination_parse("s3://bucket/labels", &d, &err) == 0) {
 *         use(d.bucket, d.path);
 *         destination_release(&d);
 *     }
 */
#ifndef EGRESS_ASSEMBLE_DESTINATION_H
#define EGRESS_ASSEMBLE_DESTINATION_H

#include "core/err.h"

struct destination {
    enum { DESTINATION_S3, DESTINATION_DIRECTORY } kind;
    char *bucket; /* owned; of S3 */
    char *path;   /* owned; S3: the prefix, without slashes at its ends; else the directory */
};

/* s3://BUCKET[/PREFIX], file:///DIR (percent-encoded) or a path; text may be NULL (not given).
 * -1 (ERR_USAGE): names the text and the forms there are. *d is set on success only. */
int destination_parse(const char *text, struct destination *d, struct err *err) MUST_CHECK;
void destination_release(struct destination *d);

#endif
