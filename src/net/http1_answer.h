/* SPDX-License-Identifier: Apache-2.0
 *
 * http1_answer: an HTTP/1.1 answer taken apart (RFC 9112) as its bytes come.
 *
 * The caller pulls: each call gives one piece of what is there, until HTTP1_MORE. Pieces point into
 * the caller's bytes or into the answer, until the next call. Nothing is kept of a body.
 *
 *     struct http1_answer a;
 *     http1_answer_begin(&a, is_head);
 *     while ((piece = http1_answer_next(&a, &bytes)) > HTTP1_MORE) ...
 *     http1_answer_release(&a);
 */
#ifndef EGRESS_NET_HTTP1_ANSWER_H
#define EGRESS_NET_HTTP1_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/buf.h"

enum { HTTP1_HEAD_MAX = 64 * 1024 }; /* bytes of one answer's head, its trailer included */

enum http1_piece {
    HTTP1_BAD = -1, /* a->bad says why, a literal. For good */
    HTTP1_MORE,     /* all bytes are used up, and the answer goes on */
    HTTP1_FIELD,    /* a header field, a->text: "Name: value"; not of a 1xx, nor of a trailer */
    HTTP1_HEAD,     /* the head is complete: status, length and the others hold from here on */
    HTTP1_BODY,     /* bytes of the body, a->text; they come again until http1_answer_took() */
    HTTP1_END,      /* complete; bytes that follow belong to no answer */
};

struct http1_bytes {
    const char *data;
    size_t len;
};

struct http1_answer {
    int status;     /* never a 1xx from HTTP1_HEAD on */
    int64_t length; /* what the head says of it; -1: nothing */
    bool keep;      /* the connection may be used again, after HTTP1_END */
    struct http1_bytes text;
    const char *bad;
    bool refused; /* with HTTP1_BAD: it is HTTP, but none that we take */

    /* its own */
    int state;
    bool no_body, chunked, closes;
    int64_t left; /* of the body, or of the chunk; -1: until the connection ends */
    size_t head_bytes;
    struct buf line; /* the beginning of one, from earlier bytes */
};

/* is_head: the answer is to a HEAD, and has no body whatever its length says. */
void http1_answer_begin(struct http1_answer *a, bool is_head);
void http1_answer_release(struct http1_answer *a);

/* The next piece of `bytes`, which are moved on past what was used. */
enum http1_piece http1_answer_next(struct http1_answer *a, struct http1_bytes *bytes);

/* n bytes of the latest HTTP1_BODY were taken, from its beginning. */
void http1_answer_took(struct http1_answer *a, struct http1_bytes *bytes, size_t n);

/* How many of the bytes to come are certain to be the body's, and nothing else. */
uint64_t http1_answer_body_left(const struct http1_answer *a);

/* Whether the answer is complete when the connection ends here. */
bool http1_answer_may_end(const struct http1_answer *a);

#endif
