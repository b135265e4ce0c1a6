/* SPDX-License-Identifier: Apache-2.0
 *
 * source: the seam to where outputs come from. Implemented by platform/voxel51; transfer knows
 * nothing else of it.
 *
 * Every operation is a start and exactly one completion, which comes from the loop and never from
 * inside the call that started it. All on the loop's thread.
 */
#ifndef EGRESS_TRANSFER_SOURCE_H
#define EGRESS_TRANSFER_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "core/job_id.h"

enum job_state { JOB_UNDERWAY, JOB_COMPLETE, JOB_FAILED };

/* One output of a job. The Platform has exactly one per job; most others have several. */
struct source_output {
    char *name;   /* owned; as the source sent it, not yet safe as a file name; may be "" */
    int64_t size; /* bytes, or -1 when not known before it is opened */
};

struct source_job {
    char id[JOB_ID_MAX + 1];
    char *name;       /* owned; what the user called it; may be "" */
    char *state_text; /* owned; the source's own word for the state */
    enum job_state state;
    char *failure; /* owned; why it failed, or NULL */
    bool expired;
    int64_t expires_ms;   /* Unix time, or 0 when not known */
    int64_t completed_ms; /* Unix time, or 0 */
    size_t n_outputs;
    struct source_output *outputs; /* owned */
};

void source_job_release(struct source_job *job);

/* What the source says about the bytes of one opened output. Borrowed during on_open. */
struct source_meta {
    uint64_t offset;              /* of the first byte that will come */
    int64_t size;                 /* of the whole output, or -1 */
    const char *content_type;     /* or NULL */
    const char *content_encoding; /* or NULL; the bytes are stored as they come */
    const char *validator;        /* a strong ETag, or NULL: without one nothing can be resumed */
    bool ranges;                  /* whether the source said that it serves ranges */
    /* Checksums of the whole output that the source sent, base64 as they came; NULL if not. */
    const char *crc32c, *md5, *sha256;
};

/* Which bytes of an output; all zero: the whole of it. */
struct source_range {
    uint64_t offset;
    uint64_t len;          /* 0: all from offset on */
    const char *validator; /* what on_open gave before; NULL only for the whole */
};

struct source_events {
    /* Bytes will follow. -1 (err set) ends the stream with err. */
    int (*on_open)(void *arg, const struct source_meta *meta, struct err *err);
    /* Returns how many bytes were taken; fewer than len, or SOURCE_PAUSE, stops the flow until
     * resume(), and the rest comes again. */
    size_t (*on_data)(void *arg, const void *data, size_t len);
    /* Or NULL. Where the next bytes may lie, *len of them at most, so that nobody has to copy them
     * there; NULL: nowhere in particular. on_data comes right after it, with bytes that lie there
     * or with others. */
    void *(*room)(void *arg, size_t *len);
    /* err NULL: the stream came to its end (whether it is all there the caller checks). */
    void (*on_end)(void *arg, const struct err *err);
};

#define SOURCE_PAUSE ((size_t)-1)

struct source;
struct source_stream; /* opaque; gone when on_end returns */

typedef void source_done_fn(void *arg, const struct err *err); /* err NULL: it worked */

struct source_ops {
    const char *name; /* part of every identity: "voxel51" */
    /* Fills *job (zeroed by the caller, who releases it). ERR_JOB_UNKNOWN when there is no such
     * job. Calls made while one is under way are gathered into one request. */
    void (*describe)(struct source *source, const char *job_id, struct source_job *job,
                     source_done_fn *done, void *arg);
    /* The describe that fills this job completes soon: with ERR_CANCELLED, or with its result if
     * that was first. */
    void (*describe_cancel)(struct source *source, const struct source_job *job);
    /* Opens output number `index` of a described job. The stream may still be the whole (see
     * source_meta.offset) when the source cannot serve the range or the output has changed, and it
     * may end before the range does. The job is borrowed until on_end. */
    struct source_stream *(*open)(struct source *source, const struct source_job *job, size_t index,
                                  const struct source_range *range,
                                  const struct source_events *events, void *arg);
    void (*resume)(struct source_stream *stream);
    /* on_end comes soon, with ERR_CANCELLED. */
    void (*cancel)(struct source_stream *stream);
    /* Calls each() for every job that has come to an end, page after page; a job may come twice
     * when the list changes meanwhile. Borrowed for the call; the outputs may be missing from it.
     * since_ms: (Unix time; 0: from the first) jobs completed before may be left out. */
    void (*list)(struct source *source, int64_t since_ms,
                 void (*each)(void *arg, const struct source_job *job), source_done_fn *done,
                 void *arg);
    void (*list_cancel)(struct source *source);
    /* Puts a job's expiry off by so many days, counted from now; never to an earlier date than the
     * job has: then nothing is sent and it worked. *expires_ms: what it is afterwards. */
    void (*extend)(struct source *source, const char *job_id, int days, int64_t *expires_ms,
                   source_done_fn *done, void *arg);
    void (*free)(struct source *source); /* nothing may be under way */
};

struct source { /* first member of every implementation's own struct */
    const struct source_ops *ops;
};

#endif
