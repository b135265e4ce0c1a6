/* SPDX-License-Identifier: Apache-2.0
 *
 * fake_ends: a source and a sink in memory, for tests of what lies between them. Both keep the
 * contracts of source.h and sink.h to the letter (completions from the loop only, pauses honoured,
 * data checked against its CRC32C), and fail on demand, decided by a seeded generator.
 */
#ifndef EGRESS_TESTS_FAKE_ENDS_H
#define EGRESS_TESTS_FAKE_ENDS_H

#include <stdbool.h>
#include <stdint.h>

#include "net/loop.h"
#include "transfer/sink.h"
#include "transfer/source.h"

struct fake_source_config {
    uint64_t size;
    bool tells_size, ranges;
    const char *validator;
    const char *crc32c, *md5; /* as the source announces them, or NULL */
    unsigned break_percent;   /* chunks after which a stream breaks */
    unsigned change_after;    /* streams after which the output is another one; 0: never */
    bool change_unseen;       /* ... and streams go on in that one from where the other stopped */
    bool ignores_offset;      /* says that it has ranges, and begins at byte 0 all the same */
    unsigned break_at_open;   /* streams, the first ones, that break before their first byte */
    unsigned at_once_max;     /* while so many streams are open, others break; 0: any number */
    int retry_after_ms;       /* told with each break */
    uint64_t stall_at;        /* no byte comes from there on; 0: never */
    int64_t cut_at;           /* every stream ends well there, too early; -1: not */
    uint64_t extra;           /* bytes more than announced */
    struct err describe_err;  /* code != 0: describe fails with it */
    enum job_state state;
    bool expired;
    int outputs; /* of every job; 0: one, -1: none */
    /* n_listed of them, borrowed; in that order. describe takes the expiry from here. */
    const struct source_job *listed;
    size_t n_listed;
    struct err list_err; /* code != 0: the list ends with it */
    bool list_held;      /* the list does not end until it is cancelled */
};

struct fake_sink_config {
    unsigned fail_percent; /* of all operations */
    unsigned late_percent; /* operations that take a timer instead of a task */
    unsigned late_ms;      /* ... of up to so long; 0: 3 */
    bool keeps_identity, lists_cheaply;
    uint64_t part_min;
    uint32_t parts_max;  /* 0: 10000 */
    const char *refused; /* operation that always fails with ERR_AUTH */
    const char *spent;   /* operation that fails with ERR_SPENT ... */
    unsigned spent_times;
    const char *held;   /* operation that does not end until it is cancelled */
    bool keeps_uploads; /* an upload that is neither completed nor aborted can be reopened */
    bool careless;      /* complete takes no notice of conditions, as some stores do */
};

struct fake_source *fake_source_new(struct loop *loop, const struct fake_source_config *config,
                                    unsigned seed);
struct source *fake_source_base(struct fake_source *source);
/* From now on. */
void fake_source_configure(struct fake_source *source, const struct fake_source_config *config);
unsigned fake_source_streams(const struct fake_source *source);   /* opened so far */
unsigned fake_source_at_once(const struct fake_source *source);   /* streams open, at most */
unsigned fake_source_described(const struct fake_source *source); /* jobs asked about so far */
unsigned fake_source_version(const struct fake_source *source);   /* of the output, 0 at first */
void fake_source_free(struct fake_source *source);

/* Byte i of the output's version v. */
unsigned char fake_byte(unsigned version, uint64_t i);

struct fake_sink *fake_sink_new(struct loop *loop, const struct fake_sink_config *config,
                                unsigned seed);
struct sink *fake_sink_base(struct fake_sink *sink);
/* From now on. */
void fake_sink_configure(struct fake_sink *sink, const struct fake_sink_config *config);
/* The object under a key, or NULL; valid until the next change. */
const char *fake_sink_object(struct fake_sink *sink, const char *key, size_t *len);
/* Puts an object there, as somebody else would. source and job may be "". */
void fake_sink_place(struct fake_sink *sink, const char *key, const char *data, const char *source,
                     const char *job);
unsigned fake_sink_uploads_open(const struct fake_sink *sink);
unsigned fake_sink_objects(const struct fake_sink *sink);
unsigned fake_sink_calls(const struct fake_sink *sink, const char *operation);
void fake_sink_free(struct fake_sink *sink);

#endif
