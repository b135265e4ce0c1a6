/* SPDX-License-Identifier: Apache-2.0
 *
 * file_identity: whose output a file holds, kept with the file in extended attributes
 * (user.egress.source, user.egress.job) where the file system has them. Where it has not, nothing
 * is kept and nothing is known. Blocks: helper threads only.
 *
 *     file_identity_write(fd, &object->identity);
 *     file_identity_read(fd, stat.source, sizeof(stat.source), stat.job, sizeof(stat.job));
 */
#ifndef EGRESS_SINK_FILE_IDENTITY_H
#define EGRESS_SINK_FILE_IDENTITY_H

#include <stddef.h>

#include "transfer/sink.h"

/* Of an object without a job: nothing is written. */
void file_identity_write(int fd, const struct sink_identity *identity);
/* Both, or "" each. */
void file_identity_read(int fd, char *source, size_t source_size, char *job, size_t job_size);

#endif
