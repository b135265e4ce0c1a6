/* SPDX-License-Identifier: Apache-2.0
 *
 * http_options: what holds for all exchanges of the process.
 */
#include <stdlib.h>

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
    const char *bundle;
    if (ca_bundle_choose(options->ca_bundle, &bundle, err) < 0)
        return -1;
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
