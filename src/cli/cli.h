/* SPDX-License-Identifier: Apache-2.0
 *
 * cli: the command line: which commands there are, what each takes, and what `egress` exits with.
 *
 * The dispatcher parses the flags, checks the number of operands, sets the log up (stderr) and
 * runs the command on the main thread; what a command prints on stdout is flushed and checked for
 * it at the end. SIGPIPE is ignored: a closed stdout is an error of write, never a death.
 *
 *     int cmd_fetch(const struct command_context *ctx)
 *     {
 *         const char *to = settings_text(ctx->settings, SET_TO);
 *         if (store(to, ctx->operands, ctx->n_operands, &err) < 0)
 *             return cli_fail(ctx, &err);
 *         return STATUS_OK;
 *     }
 */
#ifndef EGRESS_CLI_CLI_H
#define EGRESS_CLI_CLI_H

#include <stddef.h>
#include <stdio.h>

#include "core/err.h"
#include "core/settings.h"

/* What the process exits with; documented in egress(1). core/err.h maps each error to one. */
enum exit_status {
    STATUS_OK = 0,        /* everything is stored; nothing differs */
    STATUS_RETRY = 1,     /* something is not stored, and another try may do it */
    STATUS_USAGE = 2,     /* the command line or a setting is wrong; nothing was done */
    STATUS_REFUSED = 3,   /* set-up: token, credentials, destination */
    STATUS_NEVER = 4,     /* some job will never be stored as things are */
    STATUS_DIFFERENT = 5, /* verify found a difference */
    STATUS_SIGNAL = 128,  /* + number of the signal that ended it: 130 SIGINT, 143 SIGTERM */
};

struct command_context {
    const struct command *command;
    const struct settings *settings; /* the accepted ones, checked */
    char *const *operands;           /* n_operands of them, as many as the table allows */
    int n_operands;
};

/* A row of the command table. */
struct command {
    const char *name;
    int (*run)(const struct command_context *ctx); /* returns the exit status */
    const enum setting *accepted;                  /* n_accepted settings it takes */
    size_t n_accepted;
    const char *operands; /* as help shows them: "JOB_ID..."; "" for none */
    int min_operands;
    int max_operands;    /* -1: no limit */
    const char *summary; /* one line */
    const char *details; /* paragraphs for `egress help COMMAND`, ready wrapped, or NULL */
};

/* The table; *n is set to its length. */
const struct command *cli_commands(size_t *n);

/* One file each, cmd_NAME.c. */
int cmd_fetch(const struct command_context *ctx);
int cmd_invoke(const struct command_context *ctx);
int cmd_verify(const struct command_context *ctx);
int cmd_sync(const struct command_context *ctx);
int cmd_sweep(const struct command_context *ctx);
int cmd_worker(const struct command_context *ctx);
int cmd_serve(const struct command_context *ctx);
int cmd_status(const struct command_context *ctx);
int cmd_retry(const struct command_context *ctx);
int cmd_pause(const struct command_context *ctx);
int cmd_resume(const struct command_context *ctx);
int cmd_doctor(const struct command_context *ctx);
int cmd_journal(const struct command_context *ctx);
int cmd_help(const struct command_context *ctx);

/* What `egress help` and `egress help COMMAND` (command not NULL) print. */
void cli_print_help(const struct command *command, FILE *out);
/* What `egress --version` prints: our version; those of the libraries on a second line. */
void cli_print_version(FILE *out);

/* Logs the error (a usage error with where to read on) and returns the exit status for it. */
int cli_fail(const struct command_context *ctx, const struct err *err);

/* The status for a run in which several things ended differently: a signal before 3, 2, 5, 1, 4
 * and 0. 1 before 4: as long as it is 1, doing the same again gets further. */
int cli_status_merge(int a, int b);

/* The whole program: returns the exit status. */
int cli_main(int argc, char **argv);

#endif
