/* SPDX-License-Identifier: Apache-2.0
 *
 * s3_setup: what settings and the AWS profile together say of a store. Pure. Any thread.
 *
 *     struct aws_profile profile;
 *     struct s3_config config;
 *     if (aws_profile_load(settings_text(s, SET_PROFILE), &profile, &err) == 0 &&
 *         assemble_s3_config(s, &destination, &profile, &config, &err) == 0) ...
 */
#ifndef EGRESS_ASSEMBLE_S3_SETUP_H
#define EGRESS_ASSEMBLE_S3_SETUP_H

#include "assemble/destination.h"
#include "aws/s3.h"
#include "core/settings.h"

/* All but the credentials; its strings are borrowed from the three. -1 (ERR_USAGE): settings that
 * contradict each other. */
int assemble_s3_config(const struct settings *s, const struct destination *d,
                       const struct aws_profile *profile, struct s3_config *config,
                       struct err *err) MUST_CHECK;

#endif
