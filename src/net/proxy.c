/* SPDX-License-Identifier: Apache-2.0
 *
 * proxy: which proxy the environment names for an origin. libcurl can tell that too, but not what
 * it decided (before 8.7), and whether an address seen on a socket is the target's hangs on it. The
 * rules are curl's: CURLOPT_PROXY(3) and CURLOPT_NOPROXY(3).
 */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/mem.h"
#include "core/text.h"
#include "net/net_private.h"

/* The first that is set to something, or NULL. */
static const char *variable(const char *const names[], size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const char *value = getenv(names[i]);
        if (value && *value)
            return value;
    }
    return NULL;
}

/* entry: an address with, perhaps, "/BITS". */
static bool address_matches(int family, const unsigned char *address, const char *entry)
{
    unsigned char net[16];
    char text[INET6_ADDRSTRLEN];
    int64_t bits = family == AF_INET ? 32 : 128;
    size_t len = strcspn(entry, "/");
    if (len >= sizeof(text))
        return false;
    memcpy(text, entry, len);
    text[len] = '\0';
    if (inet_pton(family, text, net) != 1 ||
        (entry[len] && text_parse_int(entry + len + 1, 0, bits, &bits) < 0))
        return false;
    size_t whole = (size_t)bits / 8;
    unsigned mask = 0xff00U >> (bits % 8) & 0xff;
    return memcmp(address, net, whole) == 0 &&
           (mask == 0 || ((address[whole] ^ net[whole]) & mask) == 0);
}

/* entry: the name itself, or a domain that it is in. */
static bool name_matches(const char *name, size_t len, const char *entry)
{
    size_t n = strlen(entry);
    if (n && entry[n - 1] == '.')
        n--;
    if (n && entry[0] == '.') {
        entry++;
        n--;
    }
    return n && n <= len && strncasecmp(name + len - n, entry, n) == 0 &&
           (n == len || name[len - n - 1] == '.');
}

/* host: as struct url has it. */
static bool is_excepted(const char *host, const char *list)
{
    unsigned char address[16];
    char name[256], entry[256];
    size_t len = strlen(host);
    if (len >= sizeof(name) || strcmp(list, "*") == 0)
        return len < sizeof(name);
    bool bracketed = len > 2 && host[0] == '[';
    len = bracketed ? len - 2 : len;
    memcpy(name, host + bracketed, len);
    if (len && name[len - 1] == '.')
        len--;
    name[len] = '\0';
    int family = bracketed ? AF_INET6 : AF_INET;
    bool numeric = inet_pton(family, name, address) == 1;
    for (const char *at = list; *(at += strspn(at, ", \t")); at += strcspn(at, ", \t")) {
        size_t n = strcspn(at, ", \t");
        if (n >= sizeof(entry))
            continue;
        memcpy(entry, at, n);
        entry[n] = '\0';
        if (numeric ? address_matches(family, address, entry) : name_matches(name, len, entry))
            return true;
    }
    return false;
}

const char *proxy_by_environment(const char *scheme, const char *host)
{
    /* HTTP_PROXY is left out: of a CGI program it is what a client says. */
    static const char *const for_http[] = {"http_proxy", "all_proxy", "ALL_PROXY"};
    static const char *const for_https[] = {"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"};
    static const char *const exceptions[] = {"no_proxy", "NO_PROXY"};
    const char *proxy =
        strcmp(scheme, "https") == 0 ? variable(for_https, 4) : variable(for_http, 3);
    const char *list = proxy ? variable(exceptions, 2) : NULL;
    return list && is_excepted(host, list) ? NULL : proxy;
}

bool proxy_takes_requests(const char *proxy)
{
    const char *rest = strstr(proxy, "://");
    return !rest || strncasecmp(proxy, "http", 4) == 0;
}

char *proxy_authorization(const char *proxy)
{
    char *user = NULL, *password = NULL, *value = NULL;
    CURLU *url = curl_url();
    if (url && curl_url_set(url, CURLUPART_URL, proxy, CURLU_GUESS_SCHEME) == CURLUE_OK &&
        curl_url_get(url, CURLUPART_USER, &user, CURLU_URLDECODE) == CURLUE_OK) {
        curl_url_get(url, CURLUPART_PASSWORD, &password, CURLU_URLDECODE);
        char *text = xprintf("%s:%s", user, password ? password : "");
        size_t len = strlen(text);
        char *coded = xcalloc(1, 4 * ((len + 2) / 3) + 1);
        text_base64((const unsigned char *)text, len, coded);
        value = xprintf("Basic %s", coded);
        free(coded);
        free(text);
    }
    curl_free(user);
    curl_free(password);
    curl_url_cleanup(url);
    return value;
}
