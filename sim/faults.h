/* SPDX-License-Identifier: Apache-2.0
 *
 * faults: what goes wrong on purpose, as `--fault ROUTE:KIND[=VALUE]@WHEN`. The table in faults.c
 * is the only list of kinds: names, values, defaults and the text of --help. Set before any thread
 * starts, read by all.
 *
 *     struct faults faults = {0};
 *     if (faults_add(&faults, "GET /v1/jobs/{id}:status=503,2@5", &err) < 0) ...
 *     faults_seed(&faults, seed);
 *     const struct fault *fault = faults_decide(&faults, slot, n, &drawn);    NULL: none
 *
 * What happens to request n (from 0) of a route is a function of the seed, the route and n alone,
 * so a run can be repeated. A request has one fault at most.
 */
#ifndef EGRESS_SIM_FAULTS_H
#define EGRESS_SIM_FAULTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "core/err.h"

enum fault_kind {
    FAULT_LATENCY,
    FAULT_STATUS,
    FAULT_HTML,
    FAULT_BROKEN_JSON,
    FAULT_GARBAGE,
    FAULT_HEADERS,
    FAULT_ENDLESS,
    FAULT_REDIRECT,
    FAULT_DROP,
    FAULT_RESET,
    FAULT_TRUNCATE,
    FAULT_STALL,
    FAULT_SLOW,
    FAULT_CHANGED,
    FAULT_EXPIRE,
    FAULT_DUPLICATE,
    FAULT_KINDS,
};

/* Values of the choices, in the order of the table's text. */
enum { GARBAGE_BYTES, GARBAGE_HEADER, GARBAGE_LENGTH, GARBAGE_CHUNK };
enum { REDIRECT_LOOP, REDIRECT_HOST, REDIRECT_HTTP, REDIRECT_LOOPBACK, REDIRECT_URL };
enum { EXPIRE_LATER, EXPIRE_NOW, EXPIRE_CUT };

/* A slot is what has a count of its own in /sim/stats: route r by GET, PUT, ... is 2 * r, by HEAD
 * 2 * r + 1; the last one is the sender of webhooks. */
enum {
    ROUTES_MAX = 32,
    FAULT_WEBHOOK = 2 * ROUTES_MAX,
    FAULT_SLOTS,
    FAULTS_MAX = 64,
    FAULT_TEXT_SIZE = 1024,
};

struct fault {
    enum fault_kind kind;
    int64_t number; /* the value: bytes, milliseconds, status, place of a choice; -1: none given */
    int64_t retry_after_s;     /* status; -1: no Retry-After */
    char url[FAULT_TEXT_SIZE]; /* redirect */

    bool slots[FAULT_SLOTS];
    double percent;
    int64_t first, last; /* numbers from 1, instead of a percentage; 0: a percentage */
};

struct faults {
    struct fault all[FAULTS_MAX];
    size_t n;
    uint64_t keys[FAULT_SLOTS]; /* set by faults_seed() */
};

/* 0, or -1 (ERR_USAGE: what was wrong and what is allowed). */
int faults_add(struct faults *faults, const char *text, struct err *err);
/* After the last faults_add(). */
void faults_seed(struct faults *faults, uint64_t seed);

/* What happens to request n of the slot; NULL: nothing. *drawn is for what the fault draws itself.
 */
const struct fault *faults_decide(const struct faults *faults, size_t slot, uint64_t n,
                                  uint64_t *drawn);

const char *fault_kind_name(enum fault_kind kind);
/* "GET /v1/jobs/{id}"; out is returned. */
enum { SLOT_NAME_SIZE = 128 };
const char *fault_slot_name(size_t slot, char out[SLOT_NAME_SIZE]);

void faults_help(FILE *out);

#endif
