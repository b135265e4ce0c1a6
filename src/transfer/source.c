/* SPDX-License-Identifier: Apache-2.0 */
#include "transfer/source.h"

#include <stdlib.h>

void source_job_release(struct source_job *job)
{
    for (size_t i = 0; i < job->n_outputs; i++)
        free(job->outputs[i].name);
    free(job->outputs);
    free(job->name);
    free(job->state_text);
    free(job->failure);
    *job = (struct source_job){0};
}
