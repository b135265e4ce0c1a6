/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/file_identity.h"

#include <stdbool.h>
#include <string.h>
#include <sys/xattr.h>

static const char source_name[] = "user.egress.source";
static const char job_name[] = "user.egress.job";

void file_identity_write(int fd, const struct sink_identity *identity)
{
    /* Not every file system has them: what cannot be kept is not known later, and that is all. */
    if (identity->job &&
        fsetxattr(fd, source_name, identity->source, strlen(identity->source), 0) == 0)
        (void)fsetxattr(fd, job_name, identity->job, strlen(identity->job), 0);
}

static bool read_one(int fd, const char *name, char *out, size_t size)
{
    ssize_t n = fgetxattr(fd, name, out, size - 1);
    out[n > 0 ? n : 0] = '\0';
    return n > 0 && strlen(out) == (size_t)n;
}

void file_identity_read(int fd, char *source, size_t source_size, char *job, size_t job_size)
{
    if (!read_one(fd, source_name, source, source_size) || !read_one(fd, job_name, job, job_size))
        source[0] = job[0] = '\0';
}
