/* SPDX-License-Identifier: Apache-2.0
 *
 * doctor_s3: what the files about a store share: doctor_s3.c (finding it, looking), and
 * doctor_s3_try.c (writing and cleaning up). Internal to the room.
 */
#ifndef EGRESS_DOCTOR_DOCTOR_S3_H
#define EGRESS_DOCTOR_DOCTOR_S3_H

#include "aws/s3.h"
#include "aws/s3_error.h"
#include "aws/s3_place.h"
#include "doctor/doctor_part.h"

enum {
    HAVE_PLACE = 1,
    HAVE_CREDENTIALS = 2,
    HAVE_ANSWER = 4, /* something answered at the endpoint */
    HAVE_CLOCK = 8,
    HAVE_BUCKET = 16,
    HAVE_OBJECT = 32, /* the probe is stored */
};

/* What may be left behind; the clean-up takes away all that was begun. */
enum { PROBE, PROBE_WRONG, PROBE_PARTS, PROBES };
enum { PROBE_PARTS_MAX = 3 };

struct doctor_s3 {
    struct doctor *d;
    struct loop *loop;
    struct aws_profile profile;
    struct s3_config config;
    struct s3_place place;
    struct credentials *credentials; /* owned */
    struct credentials_wait wait;
    struct s3 *s3;        /* owned */
    struct s3_call *call; /* NULL: none under way */
    bool makes;           /* it leaves something behind, so it is not broken off at once */
    struct loop_timer grace;

    /* what the answers say beside their content */
    int64_t asked_ms;         /* of clock_mono_ms(): the first request */
    int64_t after_ms;         /* the first answer, -1: none */
    int64_t seen_ms, date_ms; /* Unix time: of the first answer with a Date, and what it said */
    int status;               /* of the latest one */
    char code[S3_ERROR_CODE_SIZE];
    char told_region[64]; /* where the bucket is, "" when no answer said so */
    struct err listed;    /* how listing went; ERR_NONE: well */
    bool list_denied;     /* it is these credentials that may not */

    /* the probe */
    char *prefix; /* owned; of all our keys, "" or with its '/' at the end */
    char *keys[PROBES];
    struct s3_created created[PROBES];
    bool begun[PROBES]; /* the key may be taken */
    bool open[PROBES];  /* the upload in `created` may be */
    bool lost[PROBES];  /* uploads of this key may be open whose ids were not told */
    char text[160];
    uint32_t crc32c;
    char etag[S3_ETAG_SIZE];
    struct s3_info info;
    struct buf back; /* what was read */

    /* a multipart upload */
    int upload;  /* PROBE or PROBE_PARTS */
    char *block; /* owned; each part is its beginning */
    size_t part_bytes[PROBE_PARTS_MAX];
    struct s3_part parts[PROBE_PARTS_MAX];
    char part_etag[S3_ETAG_SIZE];
    uint32_t n_parts, n_sent;
    uint64_t whole_bytes;
    uint32_t whole_crc32c;
    s3_done_fn *uploaded;

    size_t n_open; /* uploads of others */
    int64_t oldest_ms;
    int found; /* lost uploads, so far */
    bool given_up;
    int cleaning;       /* which probe */
    struct err unclean; /* the first thing that could not be taken away */
};

/* ---- doctor_s3_try.c: steps ---- */

void doctor_s3_write(struct doctor *d, void *part);
void doctor_s3_read(struct doctor *d, void *part);
void doctor_s3_checksum_kept(struct doctor *d, void *part);
void doctor_s3_checksum_checked(struct doctor *d, void *part);
void doctor_s3_put_if_absent(struct doctor *d, void *part);
void doctor_s3_complete_if_absent(struct doctor *d, void *part);
void doctor_s3_part_sizes(struct doctor *d, void *part);
void doctor_s3_clean_up(struct doctor *d, void *part);

#endif
