/* SPDX-License-Identifier: Apache-2.0
 *
 * http1: as much of HTTP/1.1's framing as it takes to know where a message ends.
 *
 *     struct head head;
 *     if (head_parse(text, len, &head) < 0) ...           not HTTP/1.1
 *     struct body body = body_of_request(&head);
 *     n = body_take(&body, data, len);                    n of these bytes belong to it
 *     if (body.ended) ...
 */
#ifndef EGRESS_TESTS_FAULTPROXY_HTTP1_H
#define EGRESS_TESTS_FAULTPROXY_HTTP1_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HEAD_MAX_BYTES = 64 * 1024 };

struct head {
    char method[16];              /* of a request */
    char path[2048], query[4096]; /* cut when longer: rules need no more */
    int status;                   /* of an answer; 0: a request */
    int64_t content_length;       /* -1: not given */
    bool chunked, close, expects_continue;
};

/* Bytes of `text` up to and with the empty line, or 0 when it has not come yet. */
size_t head_length(const char *text, size_t len);

/* `text` is a whole head. -1: not one. */
int head_parse(const char *text, size_t len, struct head *head);

struct body {
    enum { BODY_LENGTH, BODY_CHUNKED, BODY_UNTIL_CLOSE } kind;
    uint64_t left;   /* of the body, or of the chunk */
    uint64_t passed; /* bytes taken so far, framing included */
    bool ended;
    int chunk_state;
    bool trailer_text; /* the line being read is not empty */
};

struct body body_of_request(const struct head *head);
struct body body_of_answer(const struct head *head, const char *method);

/* How many of `len` bytes belong to the body; its state moves on by them. */
size_t body_take(struct body *body, const char *data, size_t len);

#endif
