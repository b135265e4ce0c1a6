/* SPDX-License-Identifier: Apache-2.0
 *
 * Fuzz target: whatever stands in a file of secrets and in the headers of a webhook, the file is
 * taken or refused with one line, and a webhook passes only with what the file holds.
 *
 * Input: the file, a line "--", then a line for each thing that a webhook brings, then its body.
 */
#include <stdint.h>

#include "core/log.h"
#include "core/mem.h"
#include "event/signature.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What nothing in an input is a signature by: the body and the time are other ones. */
#define KEYS                                                                                       \
    "token 0f6b2e0d-not-guessed-by-chance\n"                                                       \
    "standard-webhooks whsec_tJ3Qk5Vd3GkSYmFsb25leS1ub3QtZ3Vlc3NlZA==\n"                           \
    "hub-sha256 7c1d-not-guessed-by-chance\n"
#define NOW INT64_C(1614265330000)

enum { LINES = 7 };

/* Cuts a line off; the value is a copy, or NULL at the end. */
static char *take_line(const char **at, const char *end)
{
    if (*at == end)
        return NULL;
    const char *stop = memchr(*at, '\n', (size_t)(end - *at));
    const char *begin = *at;
    *at = stop ? stop + 1 : end;
    return xstrndup(begin, (size_t)((stop ? stop : end) - begin));
}

static void check(const struct signature_keys *keys, const struct signature_given *given,
                  bool stranger)
{
    struct err err = {0};
    if (signature_check(keys, given, NOW, &err) == 0) {
        CHECK(!stranger);
    } else {
        CHECK(err.code == ERR_AUTH);
        CHECK(*err.msg && !strpbrk(err.msg, "\r\n"));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    log_init(stderr, LOG_ERROR, LOG_HUMAN);
    const char *at = (const char *)data, *end = at + size;
    size_t file = 0;
    while (file + 4 <= size && memcmp(at + file, "\n--\n", 4) != 0)
        file++;
    bool whole = file + 4 > size;
    struct err err = {0};
    struct signature_keys *keys = signature_keys_parse(at, whole ? size : file, "file", &err);
    CHECK(keys || (err.code == ERR_CONFIG && *err.msg && !strpbrk(err.msg, "\r\n")));
    at = whole ? end : at + file + 4;

    char *lines[LINES];
    for (int i = 0; i < LINES; i++)
        lines[i] = take_line(&at, end);
    struct signature_given given = {
        .query_token = lines[0],
        .header_token = lines[1],
        .authorization = lines[2],
        .webhook_id = lines[3],
        .webhook_timestamp = lines[4],
        .webhook_signature = lines[5],
        .hub_signature = lines[6],
        .body = at,
        .body_len = (size_t)(end - at),
    };
    if (keys)
        check(keys, &given, false);
    signature_keys_free(keys);
    keys = signature_keys_parse(KEYS, strlen(KEYS), "file", &err);
    CHECK(keys);
    check(keys, &given, true);
    signature_keys_free(keys);
    for (int i = 0; i < LINES; i++)
        free(lines[i]);
    return 0;
}
