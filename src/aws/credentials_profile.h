/* SPDX-License-Identifier: Apache-2.0
 *
 * credentials_profile: a profile of the AWS CLI's shared files, as the providers read it. What the
 * credentials file says goes before what the config file says.
 *
 *     struct profile p;
 *     if (profile_open(&p, "work", "--profile", &err) == 0)
 *         role = profile_get(&p, NULL, "role_arn");
 *     profile_close(&p);
 */
#ifndef EGRESS_AWS_CREDENTIALS_PROFILE_H
#define EGRESS_AWS_CREDENTIALS_PROFILE_H

#include <stdbool.h>

#include "aws/ini.h"
#include "core/buf.h"

enum { CREDENTIALS_FILE, CONFIG_FILE, N_FILES };

struct shared_file {
    char *path;      /* owned; NULL when there is no place to look in */
    char *section;   /* owned; the profile's name in this file */
    struct ini *ini; /* owned; NULL when there is no such file */
};

struct profile {
    char *name; /* owned */
    bool named; /* by someone, so it has to exist */
    struct shared_file files[N_FILES];
};

/* Loads both files. wanted NULL: AWS_PROFILE, then "default". `from`: what named it, for messages.
 * profile_close() has to follow whatever it returns. -1: ERR_CONFIG. */
int profile_open(struct profile *p, const char *wanted, const char *from, struct err *err);
void profile_close(struct profile *p);

/* A setting of the profile, under the key `parent` if that is not NULL; NULL when it is not there
 * or empty. Borrowed from the profile. */
const char *profile_get(const struct profile *p, const char *parent, const char *key);

/* The endpoint of a service ("s3", "sts"): that of the [services NAME] section which the profile
 * names, else the profile's own; NULL when there is none. */
int profile_endpoint_url(const struct profile *p, const char *service, const char **out,
                         struct err *err);

/* Appends "[x] in FILE and [profile x] in FILE". */
void profile_describe(const struct profile *p, struct buf *out);

#endif
