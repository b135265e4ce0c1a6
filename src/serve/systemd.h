/* SPDX-License-Identifier: Apache-2.0
 *
 * systemd: what a service manager and its service tell each other: sockets that it opened for us,
 * and how we are. Both are no more than environment variables and one datagram, so no library is
 * needed for them. Sources: sd_listen_fds(3), sd_notify(3). Main thread, before others are started;
 * systemd_notify(): any thread.
 *
 *     int fd = systemd_socket("webhooks", 0);
 *     systemd_notify("READY=1\nSTATUS=taking webhooks");
 */
#ifndef EGRESS_SERVE_SYSTEMD_H
#define EGRESS_SERVE_SYSTEMD_H

#include <stdint.h>

/* A listening socket that was handed over under that name (FileDescriptorName=), or, where names
 * were not given, at that place among them. Close-on-exec and non-blocking; the caller's, once. -1:
 * none. */
int systemd_socket(const char *name, int place);

/* Sends a state, lines of VARIABLE=VALUE. Nothing happens where nobody asked for it. */
void systemd_notify(const char *state);

/* How often WATCHDOG=1 is to be sent at least; 0: not asked for. */
int64_t systemd_watchdog_ms(void);

#endif
