/* SPDX-License-Identifier: Apache-2.0
 *
 * interrupt: what SIGINT and SIGTERM do to a command: the first asks it to undo what is unfinished
 * and end, the second (or ten seconds of not ending) ends it at once. Loop's thread.
 *
 *     struct interrupt in = {0};
 *     if (interrupt_on(&in, loop, cancel_everything, me, &err) < 0) ...
 *     loop_run(loop);
 *     interrupt_off(&in);
 *     return interrupt_status(&in, status);
 */
#ifndef EGRESS_CLI_INTERRUPT_H
#define EGRESS_CLI_INTERRUPT_H

#include "core/err.h"
#include "net/loop.h"

struct interrupt {
    struct loop *loop;
    void (*cancel)(void *arg);
    void *arg;
    int signo; /* the first that came, or 0 */
    struct loop_timer deadline;
};

int interrupt_on(struct interrupt *in, struct loop *loop, void (*cancel)(void *arg), void *arg,
                 struct err *err) MUST_CHECK;
void interrupt_off(struct interrupt *in);

/* 128 + the signal when there was one, else `status`. */
int interrupt_status(const struct interrupt *in, int status);

#endif
