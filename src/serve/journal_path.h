/* SPDX-License-Identifier: Apache-2.0
 *
 * journal_path: where the journal lies, and beside it the socket of its daemon. Main thread.
 *
 *     char *path = journal_path(settings_text(s, SET_JOURNAL), false, &err);
 *     char *socket = serve_control_path(path, &err);
 */
#ifndef EGRESS_SERVE_JOURNAL_PATH_H
#define EGRESS_SERVE_JOURNAL_PATH_H

#include <stdbool.h>

#include "core/err.h"

/* A copy of `given`, or, when it is NULL, egress.journal in the first of $STATE_DIRECTORY (which
 * systemd sets), $XDG_STATE_HOME/egress and ~/.local/state/egress; make: the folders of such a
 * place are made. Caller frees. NULL: ERR_USAGE (there is no such place), ERR_IO. */
char *journal_path(const char *given, bool make, struct err *err);

/* "PATH.sock". Caller frees. NULL: ERR_USAGE, that is longer than a Unix socket's path may be. */
char *serve_control_path(const char *journal_path, struct err *err);

#endif
