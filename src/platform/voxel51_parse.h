/* SPDX-License-Identifier: Apache-2.0
 *
 * voxel51_parse: the Platform's answers read into plain structs. Pure functions over hostile
 * bytes; nothing here does I/O. Internal to the room, and for its tests. Any thread.
 *
 *     struct source_job job = {0};
 *     if (voxel51_parse_job(body, len, id, clock_wall_ms(), &job, &err) < 0) ...
 *     source_job_release(&job);
 */
#ifndef EGRESS_PLATFORM_VOXEL51_PARSE_H
#define EGRESS_PLATFORM_VOXEL51_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "transfer/source.h"

enum { VOXEL51_MESSAGE_SIZE = 160 };

/* The answer to GET /jobs/{id}. `job` is zeroed by the caller, who releases it; it is touched on
 * success only. ERR_PROTOCOL when the answer is not the details of the job `id`. */
int voxel51_parse_job(const char *body, size_t len, const char *id, int64_t now_ms,
                      struct source_job *job, struct err *err) MUST_CHECK;

/* What a batch said about one of the ids asked for. */
struct voxel51_answer {
    const char *id;         /* borrowed; set by the caller */
    struct source_job *job; /* borrowed; zeroed by the caller; filled with VOXEL51_JOB */
    enum { VOXEL51_UNSAID, VOXEL51_JOB, VOXEL51_REFUSED } result;
    int status;                         /* VOXEL51_REFUSED: the Platform's code, an HTTP status */
    char message[VOXEL51_MESSAGE_SIZE]; /* VOXEL51_REFUSED: its words, printable */
};

/* The answer to POST /jobs/batch for `n` ids, each told apart; VOXEL51_UNSAID is an id that the
 * answer leaves out, or refuses without a code, or tells in a way that makes no sense. -1
 * (ERR_PROTOCOL) when it is no batch answer at all. */
int voxel51_parse_batch(const char *body, size_t len, int64_t now_ms,
                        struct voxel51_answer *answers, size_t n, struct err *err) MUST_CHECK;

/* The answer to GET /jobs or /jobs/list. each() is called for every row in its order: with the job,
 * whose state_text is "" when the row does not tell it, or with NULL for a row that is none (no
 * usable id, not JSON, over 1 MiB). -1 (ERR_PROTOCOL) when the answer is no list, or not whole;
 * rows may have been told before. */
typedef void voxel51_row_fn(void *arg, const struct source_job *job);
int voxel51_parse_list(const char *body, size_t len, int64_t now_ms, voxel51_row_fn *each,
                       void *arg, struct err *err) MUST_CHECK;

/* Whether the body is the Platform's error envelope; its message, printable and cut to the size of
 * `message`, "" if there is none. */
bool voxel51_parse_error(const char *body, size_t len, char message[VOXEL51_MESSAGE_SIZE]);

/* The signed URL in the answer to GET /jobs/{id}/output-url. Caller frees; NULL when there is
 * none. */
char *voxel51_parse_url(const char *body, size_t len);

/* "bytes 5-9/10" (RFC 9110, 14.4): total -1 for "*". 0 or -1. */
struct voxel51_range {
    int64_t first, last, total;
};
int voxel51_parse_range(const char *value, struct voxel51_range *range) MUST_CHECK;

/* Checksums found in an answer's headers, base64; "" for none. */
struct voxel51_hashes {
    char crc32c[9], md5[25], sha256[45];
    bool contradictory; /* two headers gave different values for one algorithm */
};

/* Adds what is in the value of x-goog-hash, Digest (RFC 3230) or Repr-Digest (RFC 9530):
 * "algorithm=value" separated by commas. Other algorithms and malformed values are skipped. */
void voxel51_add_hashes(struct voxel51_hashes *hashes, const char *value);
/* Adds one: the name of the algorithm in any case, and its value. */
void voxel51_add_hash(struct voxel51_hashes *hashes, const char *name, size_t name_len,
                      const char *value, size_t len);

/* The value if it is printable ASCII below 256 bytes and not empty, else NULL (NULL too). */
const char *voxel51_clean_value(const char *value);

/* The value if it is a strong entity tag, else NULL (NULL too). */
const char *voxel51_strong_etag(const char *value);

#endif
