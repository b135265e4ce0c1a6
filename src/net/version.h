/* SPDX-License-Identifier: Apache-2.0
 *
 * version: what this room stands on, for `egress --version`. Any thread.
 */
#ifndef EGRESS_NET_VERSION_H
#define EGRESS_NET_VERSION_H

#include "core/buf.h"

/* Appends "libcurl 8.0.0 (TLSLIBRARY/1.0)", of the library that is loaded. */
void net_version(struct buf *out);

#endif
