/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_list: the Platform's lists of jobs, which are walked and not parsed as a whole. Whatever a
 * JSON parser takes for such a list has as many rows here.
 */
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "platform/voxel51_parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_row(void *arg, const struct source_job *job)
{
    size_t *n = arg;
    ++*n;
    if (job)
        CHECK(job_id_is_valid(job->id) && job->n_outputs == 1 && job->state_text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err err = {0};
    size_t n = 0;
    char *text = xstrndup((const char *)data, size); /* so that reading on is noticed */
    size_t len = strlen(text);
    int rc = voxel51_parse_list(text, len, 1579540000000, on_row, &n, &err);
    CHECK(rc == 0 || err.code == ERR_PROTOCOL);
    json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL, NULL);
    json_t *jobs = json_object_get(root, "jobs");
    /* A name that is written with escapes is not recognised; that is fine. */
    if (json_is_array(jobs) && strstr(text, "\"jobs\""))
        CHECK(rc == 0 ? n == json_array_size(jobs) : strchr(text, '\\') != NULL);
    json_decref(root);
    free(text);
    return 0;
}
