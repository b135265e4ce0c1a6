/* SPDX-License-Identifier: Apache-2.0 */
#include "net/version.h"

#include <curl/curl.h>

void net_version(struct buf *out)
{
    const curl_version_info_data *curl = curl_version_info(CURLVERSION_NOW);
    buf_printf(out, "libcurl %s (%s)", curl->version,
               curl->ssl_version ? curl->ssl_version : "no TLS");
}
