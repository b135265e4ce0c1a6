/* SPDX-License-Identifier: Apache-2.0
 *
 * lambda: the Lambda function: asks the runtime API for events, and does with each what its kind
 * calls for (ingress/lambda_event.h):
 *
 *   webhook    into the queue, and only then 200; without a queue transferred at once
 *   SQS batch  transfers, several at once; what is worth another try is left to the queue
 *   schedule   what finished and is not stored goes into the queue
 *   direct     one transfer
 *
 * Set by environment (empty is unset); what only one kind of event needs is read when one comes:
 *
 *   BUCKET_NAME        the bucket; with PREFIX (optional) in place of EGRESS_TO
 *   EGRESS_*, AWS_*    as for the egress program: EGRESS_TO, EGRESS_KEY, EGRESS_MEMORY,
 *                      EGRESS_CONCURRENCY, EGRESS_SOURCE, EGRESS_CHECKSUM, EGRESS_RECEIPTS,
 *                      EGRESS_SSE, EGRESS_LOG_LEVEL, AWS_ENDPOINT_URL[_S3|_SQS|...], ...
 *   EGRESS_QUEUE       URL of the SQS queue: where webhooks and schedules put jobs, where workers
 *                      set the delay of what failed and put what they hand over
 *   SECRET_ARN         secret with the Platform's API token (text or binary); else
 *                      VOXEL51_API_PRIVATE_KEY and so on
 *   WEBHOOK_TOKEN      what a webhook has to bring as ?token= or in the header x-egress-token:
 *                      16 to 256 of A-Z a-z 0-9 . _ ~ -; neither this nor the next: no check
 *   WEBHOOK_TOKEN_ARN  secret whose text is that token
 *   set by Lambda      AWS_LAMBDA_RUNTIME_API, AWS_LAMBDA_FUNCTION_NAME, AWS_REGION, credentials
 *
 * Logs JSON lines on stderr, and metrics (report/emf.h) on stdout. Main thread.
 *
 *     int main(void)
 *     {
 *         return lambda_main();
 *     }
 */
#ifndef EGRESS_LAMBDA_LAMBDA_H
#define EGRESS_LAMBDA_LAMBDA_H

/* Comes back only when it cannot go on, with an exit status that is not 0: Lambda starts afresh. */
int lambda_main(void);

#endif
