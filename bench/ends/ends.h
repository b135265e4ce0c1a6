/* SPDX-License-Identifier: Apache-2.0
 *
 * ends: what main.c, source.c and sink.c share: what was asked for on the command line, and how
 * each end serves a request.
 */
#ifndef EGRESS_BENCH_ENDS_H
#define EGRESS_BENCH_ENDS_H

#include "conn.h"

struct options {
    int64_t latency_ms; /* before each answer (source), before that to a PUT or POST (sink) */
    uint64_t size;      /* source: of every output */
    uint64_t rate;      /* source: bytes a second of one connection; 0: all speed */
    int64_t jobs;       /* source: how many it lists */
    bool check;         /* sink: looks at what comes */
};

/* Once, before anything is served. -1: said on stderr why not. */
int source_begin(const struct options *options);

/* Answers the request that has come on the connection; its body has not been read. 0 or -1. */
int source_serve(const struct options *options, struct conn *c);
int sink_serve(const struct options *options, struct conn *c);

#endif
