/* SPDX-License-Identifier: Apache-2.0
 *
 * ca_bundle: which certificate authorities are trusted.
 */
#include <curl/curl.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "net/net_private.h"

/* A libcurl that is to run anywhere was not told where they are. */
static const char *of_system(void)
{
    static const char *const places[] = {
        "/etc/ssl/certs/ca-certificates.crt", /* Debian, Ubuntu, Alpine */
        "/etc/pki/tls/certs/ca-bundle.crt",   /* Amazon Linux, Fedora, Red Hat */
        "/etc/ssl/ca-bundle.pem",             /* SUSE */
        "/etc/ssl/cert.pem",                  /* others */
    };
    const curl_version_info_data *curl = curl_version_info(CURLVERSION_NOW);
    bool told = curl->age >= CURLVERSION_SEVENTH && (curl->cainfo || curl->capath);
    for (size_t i = 0; !told && i < sizeof(places) / sizeof(places[0]); i++)
        if (access(places[i], R_OK) == 0)
            return places[i];
    return NULL;
}

int ca_bundle_choose(const char *given, const char **bundle, struct err *err)
{
    /* libcurl, unlike curl, does not look at the variable that OpenSSL's users know. */
    const char *file = given && *given ? given : getenv("SSL_CERT_FILE");
    if (file && *file && access(file, R_OK) < 0)
        return err_set_errno(err, ERR_CONFIG, errno, "CA bundle %s", file);
    *bundle = file && *file ? file : of_system();
    return 0;
}
