/* SPDX-License-Identifier: Apache-2.0 */
#include "transfer/digest.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "core/crc32c.h"
#include "core/mem.h"
#include "core/text.h"

static int take(char **to, const char *text, size_t bytes, const char *name, struct err *err)
{
    unsigned char raw[96];
    size_t len = text ? strlen(text) : 0;
    *to = NULL;
    if (!text)
        return 0;
    if (len > 4 * sizeof(raw) / 3 || text_unbase64(text, len, raw) != (int)bytes)
        return err_set(err, ERR_PROTOCOL, "the source sent a %s that is no base64 of %zu bytes",
                       name, bytes);
    *to = xstrdup(text);
    return 0;
}

static void *context(const EVP_MD *md, char **want)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (ctx && EVP_DigestInit_ex(ctx, md, NULL) == 1)
        return ctx;
    /* MD5 is switched off where FIPS rules: then this one is not compared. */
    EVP_MD_CTX_free(ctx);
    free(*want);
    *want = NULL;
    return NULL;
}

int digest_start(struct digest *d, const struct source_meta *meta, struct err *err)
{
    digest_release(d);
    if (take(&d->want_crc32c, meta->crc32c, 4, "CRC32C", err) < 0 ||
        take(&d->want_md5, meta->md5, 16, "MD5", err) < 0 ||
        take(&d->want_sha256, meta->sha256, 32, "SHA-256", err) < 0)
        return -1;
    if (d->want_md5)
        d->md5 = context(EVP_md5(), &d->want_md5);
    if (d->want_sha256)
        d->sha256 = context(EVP_sha256(), &d->want_sha256);
    return 0;
}

void digest_bytes(struct digest *d, const void *data, size_t len)
{
    if (d->md5)
        EVP_DigestUpdate(d->md5, data, len);
    if (d->sha256)
        EVP_DigestUpdate(d->sha256, data, len);
}

void digest_only_crc32c(struct digest *d)
{
    free(d->want_md5);
    free(d->want_sha256);
    EVP_MD_CTX_free(d->md5);
    EVP_MD_CTX_free(d->sha256);
    d->want_md5 = d->want_sha256 = NULL;
    d->md5 = d->sha256 = NULL;
}

void digest_part(struct digest *d, uint32_t crc32c, uint64_t len)
{
    d->crc32c = crc32c_combine(d->crc32c, crc32c, len);
}

static int compare(const char *name, const char *want, const char *got, struct err *err)
{
    if (strcmp(want, got) == 0)
        return 0;
    return err_set(err, ERR_INTEGRITY, "%s mismatch: the source announced %s, what came has %s",
                   name, want, got);
}

static int compare_context(const char *name, const char *want, EVP_MD_CTX *ctx, struct err *err)
{
    unsigned char raw[EVP_MAX_MD_SIZE];
    char got[4 * ((EVP_MAX_MD_SIZE + 2) / 3) + 1];
    unsigned len = 0;
    CHECK(EVP_DigestFinal_ex(ctx, raw, &len) == 1);
    text_base64(raw, len, got);
    return compare(name, want, got, err);
}

int digest_check(struct digest *d, struct err *err)
{
    char got[CRC32C_TEXT_SIZE];
    crc32c_format(d->crc32c, got);
    if (d->want_crc32c && compare("CRC32C", d->want_crc32c, got, err) < 0)
        return -1;
    if (d->want_md5 && compare_context("MD5", d->want_md5, d->md5, err) < 0)
        return -1;
    if (d->want_sha256 && compare_context("SHA-256", d->want_sha256, d->sha256, err) < 0)
        return -1;
    return 0;
}

void digest_release(struct digest *d)
{
    digest_only_crc32c(d);
    free(d->want_crc32c);
    memset(d, 0, sizeof(*d));
}
