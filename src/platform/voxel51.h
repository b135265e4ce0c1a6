/* SPDX-License-Identifier: Apache-2.0
 *
 * voxel51: the Platform as a source of outputs (transfer/source.h), by its REST API.
 *
 * Details are asked for one job by GET /jobs/{id}; while a request is under way further calls are
 * gathered into POST /jobs/batch, 100 ids at most each (a figure of ours: the Platform's is not
 * known). A Platform without the batch route is asked job by job.
 *
 * How refusals are told apart (the Platform's exact 4xx are not documented, so none is relied on):
 *   401 anywhere: ERR_AUTH. 408, 425, 429, 5xx: ERR_HTTP, worth a retry. 403: ERR_JOB_UNKNOWN when
 *   it comes in the Platform's own error format (somebody else's job), else ERR_AUTH (a proxy).
 *   Any other 4xx on details: ERR_JOB_UNKNOWN; on an output: ERR_JOB_EXPIRED if the job has expired
 *   by now, else ERR_JOB_NO_OUTPUT.
 *
 * A 200 is no output (ERR_PROTOCOL) when it is an HTML page that nothing says is one (no .html
 * name, ETag or checksum), or when its end could not be told from that of the connection.
 *
 * Lists of jobs: by query, in whichever form the Platform takes it, else by /jobs/list; what is not
 * known about them, and what is done about it, is in voxel51_list.c. A page is held in memory, 64
 * MiB at most. The outputs' names are not in it.
 *
 * Messages leave out the job's id: whoever asked for the job names it.
 *
 * All on the loop's thread. http_init() first.
 *
 *     struct voxel51_config config = {.token = &token, .source_route = VOXEL51_AUTO};
 *     struct source *source = voxel51_new(loop, &config, &err);
 *     source->ops->describe(source, id, &job, on_described, me);
 *     loop_run(loop);
 *     source->ops->free(source);
 */
#ifndef EGRESS_PLATFORM_VOXEL51_H
#define EGRESS_PLATFORM_VOXEL51_H

#include "core/err.h"
#include "net/loop.h"
#include "platform/token.h"
#include "transfer/source.h"

enum voxel51_route {
    VOXEL51_AUTO,       /* /output; to go on after a break the signed URL, else /output again */
    VOXEL51_OUTPUT,     /* always /output */
    VOXEL51_OUTPUT_URL, /* always the signed URL that /output-url gives */
};

struct voxel51_config {
    const struct token *token; /* borrowed for the call */
    enum voxel51_route source_route;
};

/* NULL (ERR_CONFIG) when the token's base URL is none. */
struct source *voxel51_new(struct loop *loop, const struct voxel51_config *config, struct err *err);

/* "https://api.voxel51.com/v1"; borrowed. */
const char *voxel51_base_url(const struct source *source);

/* Requests that begin from now on bring this token; its base URL has to be the one that there is
 * (-1: ERR_CONFIG, and nothing has changed). */
int voxel51_set_token(struct source *source, const struct token *token, struct err *err) MUST_CHECK;

#endif
