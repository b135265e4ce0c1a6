/* SPDX-License-Identifier: Apache-2.0
 *
 * url: a strict reader of http and https URLs. Stricter than libcurl's on purpose: what the two
 * could read differently (user info, backslashes, blanks) is refused.
 */
#include "net/url.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/mem.h"
#include "core/text.h"

static bool is_alnum(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

void url_encode(struct buf *out, const char *s, size_t len, bool keep_slash)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)s[i];
        if (is_alnum(s[i]) || (c && strchr("-._~", c)) || (c == '/' && keep_slash)) {
            buf_byte(out, s[i]);
        } else {
            char escape[3] = {'%', digits[c >> 4], digits[c & 15]};
            buf_append(out, escape, sizeof(escape));
        }
    }
}

int url_decode(struct buf *out, const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (s[i] == '%' && (len - i < 3 || hex_digit(s[i + 1]) < 0 || hex_digit(s[i + 2]) < 0))
            return -1;
    for (size_t i = 0; i < len; i++) {
        if (s[i] == '%') {
            buf_byte(out, (char)(hex_digit(s[i + 1]) * 16 + hex_digit(s[i + 2])));
            i += 2;
        } else {
            buf_byte(out, s[i]);
        }
    }
    return 0;
}

/* Tells what is wrong without what may be secret: user info and the query. */
static int refuse(struct err *err, const char *text, const char *why)
{
    size_t len = strcspn(text, "?#");
    const char *shown = text;
    for (size_t i = 0; i < len; i++)
        if (text[i] == '@')
            shown = text + i;
    len -= (size_t)(shown - text);
    return err_set(err, ERR_INPUT, "URL \"%s%.*s%s\": %s", shown == text ? "" : "...",
                   len > 200 ? 200 : (int)len, shown, shown[len] || len > 200 ? "..." : "", why);
}

static const char *parse_scheme(const char *text, struct url *url)
{
    static const struct {
        const char *name;
        unsigned port;
    } schemes[] = {{"http", 80}, {"https", 443}};
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        size_t len = strlen(schemes[i].name);
        if (strncasecmp(text, schemes[i].name, len) == 0 && strncmp(text + len, "://", 3) == 0) {
            memcpy(url->scheme, schemes[i].name, len + 1);
            url->port = schemes[i].port;
            return text + len + 3;
        }
    }
    return NULL;
}

/* NULL, or what is wrong. */
static const char *parse_host(const char *s, size_t len, struct url *url)
{
    if (len == 0)
        return "there is no host";
    if (len >= sizeof(url->host))
        return "the host is longer than 255 characters";
    for (size_t i = 0; i < len; i++)
        url->host[i] = s[i] >= 'A' && s[i] <= 'Z' ? (char)(s[i] - 'A' + 'a') : s[i];
    url->host[len] = '\0';
    if (url->host[0] == '[') {
        unsigned char address[16];
        url->host[len - 1] = '\0';
        bool valid = inet_pton(AF_INET6, url->host + 1, address) == 1;
        url->host[len - 1] = ']';
        return valid ? NULL : "what is in brackets is not an IPv6 address";
    }
    for (size_t i = 0; i < len; i++)
        if (!is_alnum(url->host[i]) && !strchr("-._", url->host[i]))
            return "the host has a character that no host name has";
    return NULL;
}

/* NULL, or what is wrong. */
static const char *parse_port(const char *s, size_t len, struct url *url)
{
    static const char wrong[] = "the port is not a number from 1 to 65535";
    char digits[6];
    if (len == 0 || len >= sizeof(digits))
        return wrong;
    memcpy(digits, s, len);
    digits[len] = '\0';
    int64_t port;
    if (text_parse_int(digits, 1, 65535, &port) < 0)
        return wrong;
    url->port = (unsigned)port;
    return NULL;
}

/* NULL, or what is wrong. */
static const char *parse_authority(const char *s, size_t len, struct url *url)
{
    if (memchr(s, '@', len))
        return "a user name or password in a URL is not supported";
    unsigned scheme_port = url->port;
    const char *bracket = len && s[0] == '[' ? memchr(s, ']', len) : NULL;
    if (len && s[0] == '[' && !bracket)
        return "the bracket of the IPv6 address is not closed";
    size_t host_len = bracket ? (size_t)(bracket - s) + 1 : 0;
    if (!bracket)
        while (host_len < len && s[host_len] != ':')
            host_len++;
    const char *wrong = parse_host(s, host_len, url);
    if (!wrong && host_len < len)
        wrong = s[host_len] == ':' ? parse_port(s + host_len + 1, len - host_len - 1, url)
                                   : "something other than a port follows the host";
    url->default_port = url->port == scheme_port;
    return wrong;
}

int url_parse(const char *text, struct url *url, struct err *err)
{
    struct url u = {0};
    for (const char *p = text; *p; p++)
        if ((unsigned char)*p <= ' ' || *p == 0x7f || *p == '\\')
            return refuse(err, text, "it holds a blank, a control character or a backslash");
    const char *rest = parse_scheme(text, &u);
    if (!rest)
        return refuse(err, text, "it does not begin with http:// or https://");
    if (strchr(rest, '#'))
        return refuse(err, text, "a fragment (#) has no place in it");
    size_t len = strcspn(rest, "/?");
    const char *wrong = parse_authority(rest, len, &u);
    if (wrong)
        return refuse(err, text, wrong);
    const char *path = rest + len;
    size_t path_len = strcspn(path, "?");
    u.query = path[path_len] ? xstrdup(path + path_len + 1) : NULL;
    u.path = path_len ? xstrndup(path, path_len) : xstrdup("/");
    *url = u;
    return 0;
}

void url_release(struct url *url)
{
    free(url->path);
    free(url->query);
    *url = (struct url){0};
}

void url_host_header(const struct url *url, struct buf *out)
{
    buf_str_append(out, url->host);
    if (!url->default_port)
        buf_printf(out, ":%u", url->port);
}

bool url_same_origin(const struct url *a, const struct url *b)
{
    return strcmp(a->scheme, b->scheme) == 0 && strcmp(a->host, b->host) == 0 && a->port == b->port;
}

/* Loopback, link-local, and "this host" (0.0.0.0/8), which Linux connects to itself. */
static bool ipv4_is_local(uint32_t address)
{
    return address >> 24 == 127 || address >> 16 == 0xa9fe || address >> 24 == 0;
}

static bool ipv6_is_local(const unsigned char a[16])
{
    static const unsigned char zeros[12];
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
    /* ::, ::1 and IPv4 inside IPv6 */
    if (memcmp(a, zeros, 12) == 0 || memcmp(a, mapped, 12) == 0)
        return ipv4_is_local((uint32_t)a[12] << 24 | (uint32_t)a[13] << 16 | (uint32_t)a[14] << 8 |
                             a[15]);
    /* fd00:ec2::/32: what AWS answers on within its machines, as 169.254.169.254 does. */
    return (a[0] == 0xfe && (a[1] & 0xc0) == 0x80) || memcmp(a, "\xfd\x00\x0e\xc2", 4) == 0;
}

bool url_is_local(const struct url *url)
{
    char host[sizeof(url->host)];
    memcpy(host, url->host, sizeof(host));
    size_t len = strlen(host);
    if (host[0] == '[') {
        unsigned char address[16];
        host[len - 1] = '\0';
        return inet_pton(AF_INET6, host + 1, address) == 1 && ipv6_is_local(address);
    }
    if (len && host[len - 1] == '.')
        host[--len] = '\0';
    static const char name[] = "localhost";
    const size_t n = sizeof(name) - 1;
    /* RFC 6761, 6.3: every name under .localhost is loopback too. */
    if (len >= n && strcmp(host + len - n, name) == 0 && (len == n || host[len - n - 1] == '.'))
        return true;
    /* inet_addr, not inet_pton: it reads 127.1, 0x7f000001 and 017700000001 as resolvers do. */
    in_addr_t address = inet_addr(host);
    return address != (in_addr_t)-1 && ipv4_is_local(ntohl(address));
}
