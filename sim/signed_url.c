/* SPDX-License-Identifier: Apache-2.0
 *
 * Signing and checking URLs; errors look like an object store's.
 */
#include "signed_url.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

#include "core/clock.h"
#include "core/text.h"
#include "routes.h"

enum { SIGNATURE_SIZE = 65 };

static void sign(const struct sim *sim, const char *job_id, const char *kind, int64_t expires_s,
                 int64_t serial, char out[SIGNATURE_SIZE])
{
    char text[JOB_ID_SIZE + 96];
    int n = snprintf(text, sizeof(text), "%s\n%s\n%lld\n%lld", job_id, kind, (long long)expires_s,
                     (long long)serial);
    unsigned char mac[32];
    unsigned mac_len = sizeof(mac);
    CHECK(HMAC(EVP_sha256(), sim->sign_key, sizeof(sim->sign_key), (unsigned char *)text, (size_t)n,
               mac, &mac_len));
    text_hex(mac, sizeof(mac), out);
}

void signed_url_make(struct sim *sim, const char *job_id, const char *kind, struct buf *out)
{
    int64_t expires_s = (clock_wall_ms() + sim->sw.signed_ttl_ms + 999) / 1000;
    char signature[SIGNATURE_SIZE];
    struct view view;
    int64_t serial = jobs_get(sim->jobs, job_id, &view) ? view.job.url_serial : 0;
    sign(sim, job_id, kind, expires_s, serial, signature);
    buf_printf(out, "%s/signed/%s/%s?expires=%lld", sim->signed_url, job_id, kind,
               (long long)expires_s);
    if (serial)
        buf_printf(out, "&serial=%lld", (long long)serial);
    buf_printf(out, "&signature=%s", signature);
}

static enum MHD_Result respond_expired(struct request *rq)
{
    return respond_store_error(rq, 403, "AccessDenied", "Request has expired");
}

/* S3's rules: one way of authentication only; the method, the time and all of the URL are signed.
 */
static enum MHD_Result serve(struct request *rq, const char *kind,
                             enum MHD_Result (*fn)(struct request *rq, const struct view *view))
{
    struct sim *sim = rq->sim;
    const char *expires = request_argument(rq, "expires");
    const char *signature = request_argument(rq, "signature");
    const char *serial_text = request_argument(rq, "serial");
    int64_t expires_s, serial = 0;
    char expected[SIGNATURE_SIZE];
    struct view view;
    if (request_header(rq, "Authorization"))
        return respond_store_error(rq, 400, "InvalidArgument",
                                   "Only one auth mechanism allowed; the query string and the "
                                   "Authorization header were both given.");
    if (!expires || !signature || text_parse_int(expires, 0, INT64_MAX / 1000, &expires_s) < 0 ||
        (serial_text && text_parse_int(serial_text, 1, UINT16_MAX, &serial) < 0))
        return respond_store_error(rq, 403, "AccessDenied", "The URL is not signed.");
    sign(sim, rq->id, kind, expires_s, serial, expected);
    if (strlen(signature) != sizeof(expected) - 1 ||
        CRYPTO_memcmp(signature, expected, sizeof(expected) - 1) != 0 ||
        (rq->head && !sim->sw.signed_head))
        return respond_store_error(rq, 403, "SignatureDoesNotMatch",
                                   "The signature is not that of this method and URL.");
    bool known = jobs_get(sim->jobs, rq->id, &view);
    if (clock_wall_ms() >= expires_s * 1000 || (known && serial < view.job.url_serial))
        return respond_expired(rq);
    if (!known || view.expired || view.job.no_output)
        return respond_store_error(rq, 404, "NoSuchKey", "There is no such object.");
    if (rq->fault && rq->fault->kind == FAULT_EXPIRE) {
        jobs_expire_urls(sim->jobs, view.index);
        rq->url_expired = true;
        fault_happened(rq);
        if (rq->fault->number == EXPIRE_NOW)
            return respond_expired(rq);
    }
    return fn(rq, &view);
}

enum MHD_Result handle_signed_output(struct request *rq)
{
    return serve(rq, "output", output_respond);
}

enum MHD_Result handle_signed_log(struct request *rq)
{
    return serve(rq, "log", respond_log);
}
