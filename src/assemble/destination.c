/* SPDX-License-Identifier: Apache-2.0 */
#include "assemble/destination.h"

#include <stdlib.h>
#include <string.h>

#include "core/buf.h"
#include "core/mem.h"
#include "net/url.h"

#define FORMS "expected s3://BUCKET[/PREFIX], file:///DIR or a directory"
enum { PATH_BYTES_MAX = 4096 };

static int parse_s3(const char *text, const char *rest, struct destination *d, struct err *err)
{
    size_t bucket = strcspn(rest, "/");
    if (bucket == 0)
        return err_set(err, ERR_USAGE, "--to %s names no bucket; " FORMS, text);
    const char *prefix = rest + bucket;
    while (*prefix == '/')
        prefix++;
    size_t len = strlen(prefix);
    while (len && prefix[len - 1] == '/')
        len--;
    *d = (struct destination){
        .kind = DESTINATION_S3, .bucket = xstrndup(rest, bucket), .path = xstrndup(prefix, len)};
    return 0;
}

static int parse_file(const char *text, const char *rest, struct destination *d, struct err *err)
{
    struct buf path = BUF_INIT(PATH_BYTES_MAX);
    if (strncmp(rest, "localhost/", 10) == 0)
        rest += 9;
    int rc = *rest == '/' ? url_decode(&path, rest, strlen(rest)) : -1;
    if (rc < 0 || buf_overflowed(&path) || strlen(buf_str(&path)) != path.len) {
        buf_release(&path);
        return err_set(err, ERR_USAGE, "--to %s is no file URL of this machine; " FORMS, text);
    }
    *d = (struct destination){.kind = DESTINATION_DIRECTORY, .path = buf_take(&path)};
    return 0;
}

int destination_parse(const char *text, struct destination *d, struct err *err)
{
    if (!text)
        return err_set(err, ERR_USAGE, "no destination; give --to (or set EGRESS_TO): " FORMS);
    if (strncmp(text, "s3://", 5) == 0)
        return parse_s3(text, text + 5, d, err);
    if (strncmp(text, "file://", 7) == 0)
        return parse_file(text, text + 7, d, err);
    const char *colon = strstr(text, "://");
    if (colon && !memchr(text, '/', (size_t)(colon - text)))
        return err_set(err, ERR_USAGE, "--to %s: there is no such kind of destination; " FORMS,
                       text);
    *d = (struct destination){.kind = DESTINATION_DIRECTORY, .path = xstrdup(text)};
    return 0;
}

void destination_release(struct destination *d)
{
    free(d->bucket);
    free(d->path);
    memset(d, 0, sizeof(*d));
}
