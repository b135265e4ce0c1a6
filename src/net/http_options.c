/* SPDX-License-Identifier: Apache-2.0
 *
 * http_options: what holds for all exchanges of the process.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/mem.h"
#include "net/net_private.h"

static struct {
    struct http_options o;
    char *ca_bundle; /* owned; what o.ca_bundle points to */
} config;

int http_init(const struct http_options *options, struct err *err)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return err_set(err, ERR_INTERNAL, "libcurl cannot be initialised");
    /* libcurl, unlike curl, does not look at the variable that OpenSSL's users know. */
    const char *bundle = options->ca_bundle ? options->ca_bundle : getenv("SSL_CERT_FILE");
    if (bundle && !*bundle)
        bundle = NULL;
    if (bundle && access(bundle, R_OK) < 0)
        return err_set_errno(err, ERR_CONFIG, errno, "CA bundle %s", bundle);
    free(config.ca_bundle);
    config.ca_bundle = xstrdup(bundle);
    config.o = *options;
    config.o.ca_bundle = config.ca_bundle;
    return 0;
}

const struct http_options *http_options(void)
{
    return &config.o;
}
