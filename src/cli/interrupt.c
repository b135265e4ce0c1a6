/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/interrupt.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/cli.h"
#include "core/log.h"

enum { UNDO_MAX_MS = 10 * 1000 };

static void end_now(void *arg)
{
    const struct interrupt *in = arg;
    log_error("ended before everything unfinished was undone");
    fflush(stdout);
    _Exit(STATUS_SIGNAL + in->signo);
}

static void on_signal(void *arg, int signo)
{
    struct interrupt *in = arg;
    if (in->signo)
        end_now(in);
    in->signo = signo;
    log_info("%s: undoing what is unfinished; once more to end at once",
             signo == SIGINT ? "interrupted" : "terminated");
    loop_timer_start(in->loop, &in->deadline, UNDO_MAX_MS, end_now, in);
    in->cancel(in->arg);
}

int interrupt_on(struct interrupt *in, struct loop *loop, void (*cancel)(void *arg), void *arg,
                 struct err *err)
{
    *in = (struct interrupt){.loop = loop, .cancel = cancel, .arg = arg};
    return loop_on_signal(loop, on_signal, in, err);
}

void interrupt_off(struct interrupt *in)
{
    struct err ignored;
    loop_timer_stop(in->loop, &in->deadline);
    (void)!loop_on_signal(in->loop, NULL, NULL, &ignored);
}

int interrupt_status(const struct interrupt *in, int status)
{
    return in->signo ? STATUS_SIGNAL + in->signo : status;
}
