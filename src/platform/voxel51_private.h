/* SPDX-License-Identifier: Apache-2.0
 *
 * voxel51_private: what voxel51.c (details), voxel51_output.c (bytes), voxel51_list.c and
 * voxel51_extend.c share, and nobody else sees.
 */
#ifndef EGRESS_PLATFORM_VOXEL51_PRIVATE_H
#define EGRESS_PLATFORM_VOXEL51_PRIVATE_H

#include <stdbool.h>

#include "net/http.h"
#include "platform/voxel51.h"

/* For an answer in JSON, as a whole: one that drips is too slow for nobody else to notice. */
enum { VOXEL51_ANSWER_MS = 5 * 60 * 1000 };

struct describe;
struct lookup;

struct voxel51 {
    struct source source; /* first: the seam hands out pointers to it */
    struct loop *loop;
    char *base_url;      /* owned */
    char *authorization; /* owned; "Bearer KEY"; wiped on free */
    enum voxel51_route route;
    bool base_is_https, base_is_local;
    size_t n_streams; /* open */

    /* Details asked for and not yet on their way, in order. */
    struct describe *queue, **queue_end;
    bool posted; /* the task that looks at the queue is */
    struct loop_task task;
    struct lookup *lookups; /* requests under way, n_lookups of them */
    size_t n_lookups;
    bool no_batch; /* the Platform does not know the route */

    struct voxel51_listing *listing; /* under way, or NULL */
    int list_form;                   /* enum form of voxel51_list.c: the one that was of use */
    size_t n_extensions;             /* under way */
};

/* "BASE/jobs/ID" and what follows it. Caller frees. */
char *voxel51_job_url(const struct voxel51 *v, const char *id, const char *rest);

/* The header that says who we are. */
struct http_header voxel51_auth_header(const struct voxel51 *v);

/* What http told on_done, for the cases that details and outputs share: no answer, 401, and what is
 * worth a retry. True: *err is set. False: any other error status; its message is in `words` ("" or
 * ": text"), and whether it came in the Platform's format in `envelope`. */
enum { VOXEL51_WORDS_SIZE = 168 };
bool voxel51_common_error(const struct http_response *rsp, const struct err *cause,
                          char words[VOXEL51_WORDS_SIZE], bool *envelope, struct err *err);

/* source_ops of voxel51_output.c */
struct source_stream *voxel51_open(struct source *source, const struct source_job *job,
                                   size_t index, const struct source_range *range,
                                   const struct source_events *events, void *arg);
void voxel51_resume(struct source_stream *stream);
void voxel51_cancel(struct source_stream *stream);

/* source_ops of voxel51_list.c and voxel51_extend.c */
void voxel51_list(struct source *source, int64_t since_ms,
                  void (*each)(void *arg, const struct source_job *job), source_done_fn *done,
                  void *arg);
void voxel51_list_cancel(struct source *source);
void voxel51_extend(struct source *source, const char *job_id, int days, int64_t *expires_ms,
                    source_done_fn *done, void *arg);

#endif
