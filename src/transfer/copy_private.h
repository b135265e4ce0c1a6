/* SPDX-License-Identifier: Apache-2.0
 *
 * copy_private: what copy.c (the states), copy_parts.c (buffers and parts) and the other copy_….c
 * share.
 */
#ifndef EGRESS_TRANSFER_COPY_PRIVATE_H
#define EGRESS_TRANSFER_COPY_PRIVATE_H

#include "transfer/copy.h"
#include "transfer/digest.h"
#include "transfer/plan.h"

enum copy_state {
    COPY_CLAIM,
    COPY_LOOK,
    COPY_GATHER,
    COPY_REOPEN,
    COPY_BEGIN,
    COPY_RECORD,
    COPY_PARTS,
    COPY_DRAIN,
    COPY_PUBLISH,
    COPY_SETTLE,
    COPY_HAND_OVER,
    COPY_ABORT,
    COPY_DONE,
    COPY_STATES
};

struct part {
    struct copy *copy;
    char *data; /* owned; cap bytes, counted in the pool */
    uint64_t cap;
    uint64_t want; /* bytes that make it full; at most cap */
    uint64_t len;  /* bytes in it */
    uint32_t crc32c;
    uint32_t number; /* 1-based */
    uint64_t offset;
    struct sink_op *op; /* while it is being sent */
    bool taken;         /* a lane fills it */
    int64_t sent_ms;    /* monotonic */
    struct part *next;
};

struct lane; /* copy_ranges.c's */
enum part_fate { PART_ABSENT, PART_SENT, PART_STORED };

struct copy {
    struct copy_request rq;
    copy_done_fn *done;
    void *arg;
    enum copy_state state;
    struct err err; /* why it is being undone; ERR_NONE: it is not, or the outcome is good */

    /* the source */
    struct source_stream *stream; /* while one is open */
    bool opened;                  /* on_open has come, for the bytes now being gathered */
    bool paused;
    bool ended;   /* all bytes have arrived and agreed with what the source said of them */
    bool changed; /* the source no longer has what it began to give */
    uint64_t received;
    uint64_t opened_at; /* received when the stream now open was opened */
    int64_t size;
    char *validator, *content_type, *content_encoding; /* owned */
    bool ranges;
    struct digest digest;
    int stalls;   /* streams in a row that brought nothing */
    int reopens;  /* in all */
    int restarts; /* from byte 0 */
    int spent;    /* of those: uploads that could not be finished any more */
    struct loop_timer timer;

    /* memory and parts */
    struct part_claim claim;
    bool claiming;
    enum part_share share; /* what all memory of this copy counts as */
    uint64_t spare;        /* granted, not yet in a part's cap */
    struct plan_layout layout;
    uint64_t part_bytes; /* cap of the buffers in use */
    struct part *parts;  /* all there are */
    struct part *filling;
    uint32_t next_number;
    unsigned in_flight;

    /* several parts at a time */
    struct lane *lanes; /* owned; n_lanes of them; NULL: one stream brings all */
    unsigned n_lanes;
    uint32_t n_parts;
    enum part_fate *fates; /* owned; of each part */
    bool one_stream;       /* the source cannot do otherwise */

    /* the sink */
    struct sink_op *op; /* one of look, begin, put, complete, abort */
    struct sink_object object;
    struct sink_upload *upload; /* owned */
    struct sink_stat stat;
    bool looked;

    /* what is written down of an upload */
    struct receipt_io *recording; /* while it is being written */
    uint32_t *crcs;               /* owned; of the parts sent; the first n_crcs without a gap */
    uint32_t n_crcs, crcs_size;
    uint32_t n_recorded;
    char record_etag[128]; /* "" : nothing of it is there */
    int64_t recorded_ms;   /* monotonic */
    int64_t begun_ms;      /* Unix time */
    uint64_t *stored;      /* owned; COPY_REOPEN: sizes of the parts that the store has, 0: not */
    bool resumed;          /* the stream now to be opened is the first of this process */

    /* handing over */
    int64_t began_ms;      /* monotonic; when the first of its own bytes arrived; 0: none has */
    int64_t part_ms;       /* what a part takes to be stored, of late; 0: not known */
    uint64_t began_at;     /* bytes that were there when this copy opened the source */
    uint64_t stored_bytes; /* of the parts that this copy has stored */
    uint32_t first_number; /* of those */
    bool progressed;       /* that one is stored: the next process begins further on */
    bool lost;             /* what an earlier process had stored is of no use */
    bool leaving;          /* what need not be waited for has been asked to end */
    bool hurried;          /* parts are not waited for either */
    bool record_last;      /* the last record is being written */

    bool already;    /* the outcome: this job's object was there */
    bool published;  /* the outcome: it is there now */
    bool restarting; /* after the abort: from the start */
    bool stopping;   /* nothing is begun anew any more */
    bool winding;    /* what is under way has been asked to end */
    bool aborted;    /* the sink's abort has been asked for */
    struct copy_result result;
};

/* Undoes everything and ends with err. The first failure counts. */
void copy_fail(struct copy *c, const struct err *err);

/* ---- copy_parts.c ---- */

/* What a copy holds before it knows what it needs: enough for most label files. */
#define COPY_SCOUT_BYTES (512 * UINT64_C(1024))

/* Sees to it that c->filling has room. False: not now; copy_go_on() follows when that may have
 * changed (or the copy has failed). */
bool copy_make_room(struct copy *c);
/* Prepares for an output of the size in c->size. */
int copy_plan(struct copy *c, struct err *err);
/* Sends the part that is being filled, if there is anything in it. */
void copy_send_filling(struct copy *c);
/* Gives all memory back. Nothing may be in flight. */
void copy_free_parts(struct copy *c);
/* Takes bytes, as many as there is room for; returns how many. */
size_t copy_take(struct copy *c, const char *data, size_t len);
/* Where further bytes of a part may be received; NULL: it is full. */
void *copy_part_room(struct part *part, size_t *len);
/* As copy_take(), for one part; nothing is moved of what lies where it said. */
size_t copy_pour(struct copy *c, struct part *part, const char *data, size_t len);
/* A buffer of c->part_bytes that nobody uses, if one can be had at once. NULL: none, or the copy
 * has failed. */
struct part *copy_spare_part(struct copy *c);
/* Makes it part number c->next_number, which begins at offset and holds `want` bytes. */
void copy_begin_part(struct copy *c, struct part *part, uint64_t offset, uint64_t want);
/* Sends it; its CRC32C has been kept. */
void copy_put_part(struct copy *c, struct part *part);

/* ---- copy_ranges.c ---- */

/* Whether this is the moment from which on several parts can be had at a time. */
bool copy_ranges_due(const struct copy *c);
/* What c->stream brings from here on, and how it ends, goes to the two ..._first_... */
void copy_ranges_start(struct copy *c);
size_t copy_ranges_first_data(struct copy *c, const void *data, size_t len);
void copy_ranges_first_ended(struct copy *c, const struct err *err);
/* In COPY_PARTS: gives lanes that are idle something to do. True: all has arrived. False: not yet,
 * or the copy has taken another way, and may be gone. */
bool copy_ranges_go_on(struct copy *c);
void copy_ranges_stored(struct copy *c, uint32_t number);
/* Bytes of the parts that this copy has stored up to the first one that is missing. */
uint64_t copy_ranges_stored_bytes(const struct copy *c);
/* Asks all lanes to end. */
void copy_ranges_cancel(struct copy *c);
bool copy_ranges_busy(const struct copy *c);
void copy_ranges_release(struct copy *c);

/* ---- copy_look.c ---- */

/* Asks the sink what is under the key, and goes on as that wants it. */
void copy_look(struct copy *c);
/* The key was taken when the output was to be published: asks whose it is. */
void copy_settle(struct copy *c);

/* ---- copy_resume.c ---- */

/* Remembers a part's CRC32C for what is written down. */
void copy_keep_crc(struct copy *c, uint32_t crc32c);
/* Writes down how far it is, if it is time to (`now`: whether it is or not). False: nothing is
 * being written. */
bool copy_record(struct copy *c, bool now);
/* Takes back what was written, once the upload is undone. False: there is nothing. */
bool copy_forget(struct copy *c);
/* Asks the store for the parts of c->rq.resume. */
void copy_reopen(struct copy *c);
/* In COPY_ABORT, as another has stored the output: undoes what was to be gone on with, if that is
 * still so. Otherwise, and then, as copy_wind_down(). */
void copy_drop_left(struct copy *c);
void copy_release_record(struct copy *c);

/* ---- copy_hand_over.c ---- */

/* After a failure that may pass: what an earlier process had stored is not undone with it, but left
 * for the next to go on with. False: there is none, or it is no such failure. */
bool copy_keep_left(struct copy *c);
/* Something has ended in COPY_HAND_OVER. */
void copy_hand_over_step(struct copy *c);
/* Whether a part that is sent now can be stored before the deadline. */
bool copy_has_time(const struct copy *c);
/* A part was stored. */
void copy_part_took(struct copy *c, const struct part *p);

/* ---- copy.c, for the others ---- */

/* The end of everything: completes and frees. Nothing may be under way. */
void copy_finish(struct copy *c);

void copy_set_state(struct copy *c, enum copy_state state);
/* Asks what is under way to end, once. */
void copy_stop_all(struct copy *c);
/* Something has ended while everything is being undone. */
void copy_wind_down(struct copy *c);
/* The upload failed with err: undoes everything, and begins anew if that may help. */
void copy_upload_failed(struct copy *c, const struct err *err);
/* Opens the source from byte c->received on. */
void copy_open_stream(struct copy *c);
/* Whether a stream that broke is to be opened again, and when. stalls: those in a row that brought
 * nothing. */
bool copy_may_reopen(struct copy *c, int stalls, const struct err *err, int64_t *delay_ms);
/* From byte 0, with everything undone first; too often: fails with err. */
void copy_start_over(struct copy *c, const struct err *err);

/* Memory was granted, or a part was stored: whatever waited for it. */
void copy_go_on(struct copy *c);
/* The first part is full, or known to become so: begins the upload if it is not yet. */
void copy_need_upload(struct copy *c);

#endif
