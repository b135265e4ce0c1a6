/* SPDX-License-Identifier: Apache-2.0
 *
 * Output bytes: generator, files, gzip wrapper, checksums.
 */
#include "content.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/crc32c.h"
#include "core/mem.h"

/* RFC 1951: a stored block holds up to 65,535 bytes behind 5 of its own. RFC 1952: 10 bytes before
 * the blocks, 8 after. */
enum { GZ_HEAD = 10, GZ_BLOCK_HEAD = 5, GZ_BLOCK = 65535, GZ_TAIL = 8 };

uint64_t content_key(const char *job_id, uint64_t seed)
{
    uint64_t key = content_mix(seed + 0x9e3779b97f4a7c15u);
    for (const unsigned char *p = (const unsigned char *)job_id; *p; p++)
        key = content_mix(key ^ *p);
    return key;
}

uint64_t content_key_version(uint64_t key, unsigned version)
{
    return version ? content_mix(key ^ content_mix(version)) : key;
}

static void store_le64(unsigned char *p, uint64_t word)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    memcpy(p, &word, 8);
}

static void generate(uint64_t key, uint64_t offset, unsigned char *buf, size_t len)
{
    uint64_t i = offset / 8;
    size_t skip = offset % 8;
    unsigned char word[8];
    if (skip) {
        size_t n = 8 - skip < len ? 8 - skip : len;
        store_le64(word, content_mix(key + i++));
        memcpy(buf, word + skip, n);
        buf += n;
        len -= n;
    }
    size_t words = len / 8;
    for (size_t k = 0; k < words; k++)
        store_le64(buf + 8 * k, content_mix(key + i + k));
    if (len % 8) {
        store_le64(word, content_mix(key + i + words));
        memcpy(buf + 8 * words, word, len % 8);
    }
}

static uint64_t gzip_blocks(uint64_t raw_size)
{
    return raw_size ? (raw_size + GZ_BLOCK - 1) / GZ_BLOCK : 1;
}

static void set_sizes(struct content *c, uint64_t raw_size, bool gzip)
{
    c->raw_size = c->size = raw_size;
    c->gzip = gzip;
    if (gzip) {
        c->size += GZ_HEAD + GZ_BLOCK_HEAD * gzip_blocks(raw_size) + GZ_TAIL;
        c->identity = content_mix(c->identity + 1);
    }
}

void content_open_generated(struct content *c, uint64_t key, uint64_t size, bool gzip)
{
    *c = (struct content){.key = key, .fd = -1, .identity = content_mix(key ^ size)};
    set_sizes(c, size, gzip);
}

int content_open_file(struct content *c, const char *path, bool gzip, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0) {
        err_set_errno(err, ERR_IO, errno, "%s", path);
        if (fd >= 0)
            close(fd);
        return -1;
    }
    if (!S_ISREG(st.st_mode)) {
        close(fd);
        return err_set(err, ERR_INPUT, "%s: not a regular file", path);
    }
    uint64_t identity = content_mix((uint64_t)st.st_ino);
    identity = content_mix(identity ^ (uint64_t)st.st_size);
    identity = content_mix(identity ^ (uint64_t)st.st_mtim.tv_sec);
    identity = content_mix(identity ^ (uint64_t)st.st_mtim.tv_nsec);
    *c = (struct content){.fd = fd, .identity = identity};
    set_sizes(c, (uint64_t)st.st_size, gzip);
    return 0;
}

void content_close(struct content *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
}

static int read_raw(const struct content *c, uint64_t offset, unsigned char *buf, size_t len)
{
    if (c->fd < 0) {
        generate(c->key, offset, buf, len);
        return 0;
    }
    while (len) {
        ssize_t n = pread(c->fd, buf, len, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -1;
        buf += n;
        offset += (uint64_t)n;
        len -= (size_t)n;
    }
    return 0;
}

/* CRC-32 of RFC 1952, section 8. Bit by bit it would be the slowest part of a large output. */
static uint32_t crc32_gzip(uint32_t crc, const unsigned char *p, size_t len)
{
    uint32_t nibble[16];
    for (uint32_t i = 0; i < 16; i++) {
        uint32_t r = i;
        for (int bit = 0; bit < 4; bit++)
            r = r >> 1 ^ (r & 1 ? 0xedb88320u : 0);
        nibble[i] = r;
    }
    crc = ~crc;
    while (len--) {
        crc = nibble[(crc ^ *p) & 15] ^ crc >> 4;
        crc = nibble[(crc ^ (unsigned)*p++ >> 4) & 15] ^ crc >> 4;
    }
    return ~crc;
}

/* Copies what lies in piece[at..piece_len) to buf. */
static size_t copy_piece(unsigned char *buf, size_t len, const unsigned char *piece,
                         size_t piece_len, size_t at)
{
    size_t n = piece_len - at < len ? piece_len - at : len;
    memcpy(buf, piece + at, n);
    return n;
}

/* The stretch at c->pos, up to the end of the piece it lies in. */
static ssize_t read_gzip_piece(struct content *c, unsigned char *buf, size_t len)
{
    static const unsigned char head[GZ_HEAD] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255};
    if (c->pos < GZ_HEAD)
        return (ssize_t)copy_piece(buf, len, head, GZ_HEAD, (size_t)c->pos);
    uint64_t at = c->pos - GZ_HEAD;
    uint64_t blocks = gzip_blocks(c->raw_size);
    uint64_t end = blocks * GZ_BLOCK_HEAD + c->raw_size;
    if (at >= end) {
        unsigned char words[16];
        store_le64(words, c->crc32 | c->raw_size << 32);
        return (ssize_t)copy_piece(buf, len, words, GZ_TAIL, (size_t)(at - end));
    }
    uint64_t block = at / (GZ_BLOCK_HEAD + GZ_BLOCK);
    size_t in = (size_t)(at % (GZ_BLOCK_HEAD + GZ_BLOCK));
    uint64_t raw_at = block * GZ_BLOCK;
    size_t block_len = c->raw_size - raw_at < GZ_BLOCK ? (size_t)(c->raw_size - raw_at) : GZ_BLOCK;
    if (in < GZ_BLOCK_HEAD) {
        const unsigned char block_head[GZ_BLOCK_HEAD] = {block + 1 == blocks, block_len & 255,
                                                         block_len >> 8 & 255, ~block_len & 255,
                                                         ~block_len >> 8 & 255};
        return (ssize_t)copy_piece(buf, len, block_head, GZ_BLOCK_HEAD, in);
    }
    in -= GZ_BLOCK_HEAD;
    size_t n = block_len - in < len ? block_len - in : len;
    if (read_raw(c, raw_at + in, buf, n) < 0)
        return -1;
    c->crc32 = crc32_gzip(c->crc32, buf, n);
    return (ssize_t)n;
}

ssize_t content_read(struct content *c, void *buf, size_t len)
{
    unsigned char *out = buf;
    if (c->stop && atomic_load(c->stop))
        return -1;
    if (len > c->size - c->pos)
        len = (size_t)(c->size - c->pos);
    size_t done = 0;
    while (done < len) {
        ssize_t n = (ssize_t)(len - done);
        if (c->gzip)
            n = read_gzip_piece(c, out + done, len - done);
        else if (read_raw(c, c->pos, out + done, len - done) < 0)
            n = -1;
        if (n < 0)
            return -1;
        c->pos += (uint64_t)n;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

int content_seek(struct content *c, uint64_t pos)
{
    CHECK(pos <= c->size);
    if (!c->gzip) {
        c->pos = pos;
        return 0;
    }
    unsigned char dropped[16384];
    c->pos = 0;
    c->crc32 = 0;
    while (c->pos < pos) {
        uint64_t left = pos - c->pos;
        if (content_read(c, dropped, left < sizeof(dropped) ? (size_t)left : sizeof(dropped)) < 0)
            return -1;
    }
    return 0;
}

int content_hash(struct content *c, bool md5, bool sha256, struct hashes *out)
{
    enum { CHUNK = 256 * 1024 };
    unsigned char *chunk = xcalloc(1, CHUNK);
    EVP_MD_CTX *md5_ctx = md5 ? EVP_MD_CTX_new() : NULL;
    EVP_MD_CTX *sha_ctx = sha256 ? EVP_MD_CTX_new() : NULL;
    CHECK(!md5_ctx || EVP_DigestInit_ex(md5_ctx, EVP_md5(), NULL));
    CHECK(!sha_ctx || EVP_DigestInit_ex(sha_ctx, EVP_sha256(), NULL));
    *out = (struct hashes){0};
    ssize_t n = content_seek(c, 0);
    while (n >= 0 && (n = content_read(c, chunk, CHUNK)) > 0) {
        out->crc32c = crc32c(out->crc32c, chunk, (size_t)n);
        if (md5_ctx)
            EVP_DigestUpdate(md5_ctx, chunk, (size_t)n);
        if (sha_ctx)
            EVP_DigestUpdate(sha_ctx, chunk, (size_t)n);
    }
    if (md5_ctx)
        EVP_DigestFinal_ex(md5_ctx, out->md5, NULL);
    if (sha_ctx)
        EVP_DigestFinal_ex(sha_ctx, out->sha256, NULL);
    EVP_MD_CTX_free(md5_ctx);
    EVP_MD_CTX_free(sha_ctx);
    free(chunk);
    return n < 0 ? -1 : 0;
}
