/* SPDX-License-Identifier: Apache-2.0
 *
 * redirect: where a Location leads, and whether http.h's rules let us go there.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/mem.h"
#include "net/net_private.h"

/* The absolute URL that a Location means, or NULL. Caller frees. */
static char *resolve(const char *base, const char *location)
{
    CURLU *u = curl_url();
    char *text = NULL, *copy = NULL;
    if (u && curl_url_set(u, CURLUPART_URL, base, 0) == CURLUE_OK &&
        curl_url_set(u, CURLUPART_URL, location, CURLU_URLENCODE | CURLU_PATH_AS_IS) == CURLUE_OK &&
        curl_url_set(u, CURLUPART_FRAGMENT, NULL, 0) == CURLUE_OK &&
        curl_url_get(u, CURLUPART_URL, &text, 0) == CURLUE_OK)
        copy = xstrdup(text);
    curl_free(text);
    curl_url_cleanup(u);
    return copy;
}

char *redirect_target(const char *current, const struct url *first, const char *location,
                      bool *same_origin, struct err *err)
{
    struct url target = {0};
    struct err why = {0};
    char *text = resolve(current, location);
    if (!text || url_parse(text, &target, &why) < 0)
        err_set(&why, ERR_PROTOCOL, "redirected to what is no http(s) URL");
    else if (strncasecmp(current, "https:", 6) == 0 && strcmp(target.scheme, "https") != 0)
        err_set(&why, ERR_PROTOCOL, "redirected from https to http (%s), refused", target.host);
    else if (url_is_local(&target) && !url_is_local(first))
        err_set(&why, ERR_PROTOCOL, "redirected to the local address %s, refused", target.host);
    if (why.code == ERR_NONE) {
        *same_origin = url_same_origin(first, &target);
    } else {
        *err = why;
        free(text);
        text = NULL;
    }
    url_release(&target);
    return text;
}

bool redirect_address_is_local(const char *ip)
{
    struct url seen = {0};
    struct err ignored = {0};
    char *text = xprintf(strchr(ip, ':') ? "http://[%s]/" : "http://%s/", ip);
    bool local = url_parse(text, &seen, &ignored) < 0 || url_is_local(&seen);
    url_release(&seen);
    free(text);
    return local;
}
