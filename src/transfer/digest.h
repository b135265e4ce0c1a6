/* SPDX-License-Identifier: Apache-2.0
 *
 * digest: the checksums of an output as it passes: CRC32C always (put together from those of its
 * parts), and those that the source sent to compare with. One transfer's; loop's thread.
 *
 *     digest_start(&d, &meta, &err);
 *     digest_bytes(&d, data, len);                    for all bytes, in order
 *     digest_part(&d, part_crc32c, part_len);         for all parts, in order
 *     if (digest_check(&d, &err) < 0) ...
 *     digest_release(&d);
 */
#ifndef EGRESS_TRANSFER_DIGEST_H
#define EGRESS_TRANSFER_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "transfer/source.h"

struct digest {
    uint32_t crc32c;                            /* of the parts so far */
    char *want_crc32c, *want_md5, *want_sha256; /* owned; base64 as the source sent them, or NULL */
    void *md5, *sha256;                         /* owned contexts, only when wanted */
};

/* Begins anew from byte 0. Checksums in meta that are no well-formed base64 of the right length
 * are ERR_PROTOCOL. */
int digest_start(struct digest *d, const struct source_meta *meta, struct err *err);
/* From here on bytes come in no order: the source's CRC32C alone is compared. */
void digest_only_crc32c(struct digest *d);
void digest_bytes(struct digest *d, const void *data, size_t len);
void digest_part(struct digest *d, uint32_t crc32c, uint64_t len);
/* Compares with what the source said. ERR_INTEGRITY names the algorithm and both values. */
int digest_check(struct digest *d, struct err *err);
void digest_release(struct digest *d);

#endif
