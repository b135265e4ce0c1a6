/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_config: the parser of the AWS CLI's files, on any bytes.
 */
#include <stdint.h>
#include <string.h>

#include "aws/ini.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look_up(const struct ini *ini, const char *section)
{
    static const char *const parents[] = {NULL, "s3"};
    static const char *const keys[] = {"region", "s3", "endpoint_url", "k"};
    bool any = false;
    for (size_t p = 0; p < sizeof(parents) / sizeof(parents[0]); p++) {
        for (size_t k = 0; k < sizeof(keys) / sizeof(keys[0]); k++) {
            unsigned line = 0;
            const char *value = ini_get(ini, section, parents[p], keys[k], &line);
            if (!value)
                continue;
            any = true;
            CHECK(line > 0);
            size_t len = strlen(value);
            CHECK(len == 0 || (!strchr(" \t\r\n", value[0]) && !strchr(" \t\r", value[len - 1])));
        }
    }
    CHECK(!any || ini_has(ini, section));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err err = {0};
    struct ini *ini = ini_parse("file", (const char *)data, size, &err);
    if (!ini) {
        CHECK(err.code == ERR_CONFIG && strncmp(err.msg, "file", 4) == 0);
        return 0;
    }
    look_up(ini, "default");
    look_up(ini, "profile x");
    look_up(ini, "services x");
    ini_free(ini);
    return 0;
}
