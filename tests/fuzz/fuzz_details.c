/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_details: the Platform's answers. The first byte says which parser gets the rest.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "platform/voxel51_parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_job(const char *text, size_t len)
{
    struct source_job job = {0};
    struct err err = {0};
    if (voxel51_parse_job(text, len, "a", 1579540000000, &job, &err) == 0)
        CHECK(strcmp(job.id, "a") == 0 && job.n_outputs == 1 && *job.state_text);
    else
        CHECK(err.code == ERR_PROTOCOL && !job.outputs);
    source_job_release(&job);
}

static void fuzz_batch(const char *text, size_t len)
{
    struct source_job jobs[2] = {{{0}}};
    struct voxel51_answer answers[] = {{.id = "a", .job = &jobs[0]}, {.id = "b", .job = &jobs[1]}};
    struct err err = {0};
    if (voxel51_parse_batch(text, len, 1579540000000, answers, 2, &err) == 0)
        for (size_t i = 0; i < 2; i++)
            CHECK((answers[i].result == VOXEL51_JOB) == (jobs[i].outputs != NULL));
    source_job_release(&jobs[0]);
    source_job_release(&jobs[1]);
}

static void fuzz_header(const char *text)
{
    struct voxel51_range range;
    struct voxel51_hashes hashes = {0};
    if (voxel51_parse_range(text, &range) == 0)
        CHECK(range.first >= 0 && range.last >= range.first &&
              (range.total == -1 || range.total > range.last));
    voxel51_add_hashes(&hashes, text);
    CHECK(strlen(hashes.crc32c) <= 8 && strlen(hashes.md5) <= 24 && strlen(hashes.sha256) <= 44);
    (void)voxel51_clean_value(text);
    (void)voxel51_strong_etag(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    char message[VOXEL51_MESSAGE_SIZE];
    char *text = xstrndup((const char *)data + 1, size - 1);
    switch (data[0]) {
    case 'j':
        fuzz_job((const char *)data + 1, size - 1);
        break;
    case 'b':
        fuzz_batch((const char *)data + 1, size - 1);
        break;
    case 'e':
        (void)voxel51_parse_error((const char *)data + 1, size - 1, message);
        CHECK(strlen(message) < sizeof(message));
        free(voxel51_parse_url((const char *)data + 1, size - 1));
        break;
    default:
        fuzz_header(text);
    }
    free(text);
    return 0;
}
