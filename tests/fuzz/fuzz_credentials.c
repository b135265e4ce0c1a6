/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_credentials: what containers, instances and programs answer, and how a command is cut into
 * words, on any bytes. The first byte chooses.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "aws/credentials_source.h"
#include "core/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_json(const char *json, size_t len, int version)
{
    struct aws_credentials c = {0};
    struct err err = {0};
    if (credentials_from_json(&c, "p", "w", version, json, len, &err) < 0) {
        CHECK(err.code == ERR_PROTOCOL && !c.access_key_id && !strpbrk(err.msg, "\r\n"));
        return;
    }
    CHECK(*c.access_key_id && *c.secret_access_key && !strpbrk(c.access_key_id, " \r\n"));
    CHECK(!c.session_token || !strpbrk(c.session_token, " \r\n"));
    aws_credentials_release(&c);
}

static void check_words(const char *text, size_t len)
{
    enum { MAX = 8 };
    char *words[MAX + 1], *command = xstrndup(text, len);
    struct err err = {0};
    size_t room = strlen(command) + 1;
    int n = credentials_split_command(command, words, MAX, &err);
    CHECK(n <= MAX && (n > 0 || err.code == ERR_CONFIG));
    for (int i = 0; i < n; i++)
        CHECK(words[i] >= command && words[i] + strlen(words[i]) < command + room);
    CHECK(n < 0 || !words[n]);
    free(command);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    const char *text = (const char *)data + 1;
    if (data[0] & 1)
        check_words(text, size - 1);
    else
        check_json(text, size - 1, data[0] & 2 ? 1 : 0);
    return 0;
}
