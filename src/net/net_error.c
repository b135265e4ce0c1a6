/* SPDX-License-Identifier: Apache-2.0
 *
 * net_error: libcurl's results in our codes and words.
 */
#include <string.h>

#include "net/net_private.h"

static enum err_code code_of(CURLcode code)
{
    switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
        return ERR_TIMEOUT;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
        return ERR_CONFIG;
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_BAD_CONTENT_ENCODING:
    case CURLE_UNSUPPORTED_PROTOCOL:
        return ERR_PROTOCOL;
    case CURLE_URL_MALFORMAT:
        return ERR_INPUT;
    default:
        return ERR_NETWORK;
    }
}

void net_error_from_curl(struct err *err, CURLcode code, const char *what, const char *detail)
{
    /* libcurl quotes a proxy's URL that it does not understand, password and all. */
    bool has_url = strchr(detail, '@') || strstr(detail, "://");
    const char *text = *detail && !has_url ? detail : curl_easy_strerror(code);
    switch (code) {
    case CURLE_COULDNT_RESOLVE_PROXY:
        err_set(err, ERR_CONFIG,
                "%s: %s; the proxy is the one that http_proxy, https_proxy or all_proxy names",
                what, text);
        break;
    case CURLE_PARTIAL_FILE:
    case CURLE_GOT_NOTHING:
        err_set(err, ERR_NETWORK, "%s: the answer broke off (%s)", what, text);
        break;
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_UNSUPPORTED_PROTOCOL:
        err_set(err, ERR_PROTOCOL, "%s: what answered does not speak HTTP (%s)", what, text);
        break;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
        err_set(err, ERR_CONFIG,
                "%s: the server's certificate cannot be verified (%s); for a private authority "
                "give its file with --ca-bundle or AWS_CA_BUNDLE",
                what, text);
        break;
    default:
        err_set(err, code_of(code), "%s: %s", what, text);
    }
}
