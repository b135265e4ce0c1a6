/* SPDX-License-Identifier: Apache-2.0
 *
 * s3_place: where a bucket's requests go: endpoint, addressing style, and the rules for names.
 * Pure; any thread.
 *
 *     struct s3_place place;
 *     if (s3_place_init(&place, "bucket", "eu-west-1", NULL, S3_ADDRESS_AUTO, &err) < 0) ...
 *     url = origin + base_path + "/" + key        "https://bucket.s3.eu-west-1.amazonaws.com/key"
 *     s3_place_release(&place);
 */
#ifndef EGRESS_AWS_S3_PLACE_H
#define EGRESS_AWS_S3_PLACE_H

#include <stdbool.h>

#include "core/err.h"

/* AUTO: virtual on AWS unless the name has dots (no certificate covers two levels), path elsewhere.
 */
enum s3_addressing { S3_ADDRESS_AUTO, S3_ADDRESS_PATH, S3_ADDRESS_VIRTUAL };

struct s3_place {
    char *endpoint;  /* owned; as messages name it: "https://s3.eu-west-1.amazonaws.com" */
    char *origin;    /* owned; scheme, host and port of every request */
    char *host;      /* owned; what the Host header will be */
    char *base_path; /* owned; what comes before "/key": "", "/bucket", "/behind/a/path/bucket" */
    bool https;
};

/* 3 to 63 of a-z 0-9 . -, a letter or digit at both ends, no "..", not like an IP address, not of
 * a reserved beginning (S3 user guide, "General purpose bucket naming rules"). 0 or -1
 * (ERR_USAGE, names the rule). */
int s3_bucket_check(const char *bucket, struct err *err);

/* endpoint_url NULL: AWS's own of that region. 0, or -1 (ERR_USAGE) and nothing to release. */
int s3_place_init(struct s3_place *place, const char *bucket, const char *region,
                  const char *endpoint_url, enum s3_addressing addressing, struct err *err);
void s3_place_release(struct s3_place *place);

#endif
