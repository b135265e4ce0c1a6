/* SPDX-License-Identifier: Apache-2.0
 *
 * output: answers with the bytes of a job's output: ranges, validators, checksums and
 * framing.
 */
#ifndef EGRESS_SIM_OUTPUT_H
#define EGRESS_SIM_OUTPUT_H

#include <microhttpd.h>
#include <pthread.h>

#include "content.h"
#include "jobs.h"

struct request;

/* Checksums of outputs that were asked for, so that each is worked out once while it stays in here.
 * Any thread. */
enum { HASH_CACHE_SLOTS = 1024 };
struct hash_cache {
    pthread_mutex_t lock;
    struct {
        uint64_t identity;
        bool valid, md5, sha256;
        struct hashes hashes;
    } slots[HASH_CACHE_SLOTS];
};

/* The job has an output and may be read. */
enum MHD_Result output_respond(struct request *rq, const struct view *view);

#endif
