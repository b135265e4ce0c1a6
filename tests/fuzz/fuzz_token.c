/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_token: a token's text. What is read must be fit for a header and a URL.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "net/url.h"
#include "platform/token.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct token token = {0};
    struct err err = {0};
    struct url url = {0};
    log_init(stderr, LOG_ERROR, LOG_HUMAN);
    if (token_parse((const char *)data, size, "fuzzed", &token, &err) < 0) {
        CHECK(err.code == ERR_CONFIG && !token.private_key && !token.base_url);
        return 0;
    }
    CHECK(*token.private_key && !strpbrk(token.private_key, " \t\r\n"));
    CHECK(url_parse(token.base_url, &url, &err) == 0);
    size_t len = strlen(token.base_url);
    CHECK(len > 3 && strcmp(token.base_url + len - 3, "/v1") == 0);
    url_release(&url);
    token_release(&token);
    return 0;
}
