/* SPDX-License-Identifier: Apache-2.0
 *
 * job_answer: what a webhook is answered whose job was transferred at once; `egress invoke` answers
 * the same. Loop's thread.
 *
 *     struct answer answer = {0};
 *     job_answer(&answer, sink, result);
 *     answer_format_proxy(&answer, &out);
 *     answer_release(&answer);
 */
#ifndef EGRESS_LAMBDA_JOB_ANSWER_H
#define EGRESS_LAMBDA_JOB_ANSWER_H

#include "ingress/accept.h"
#include "transfer/transfer.h"

/* 200 when it is stored; 500 otherwise, also when there is more to do (it was handed over). */
void job_answer(struct answer *answer, const struct sink *sink,
                const struct transfer_result *result);

#endif
