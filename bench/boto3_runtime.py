# SPDX-License-Identifier: Apache-2.0
"""A Lambda program in Python that does with a webhook what bootstrap does: looks at its token and
its body, puts the job into the queue, answers 200."""

import http.client
import json
import os

import boto3

RUNTIME = "/2018-06-01/runtime/invocation/"
queue_url = os.environ["EGRESS_QUEUE"]
sqs = boto3.client("sqs", endpoint_url=queue_url.rsplit("/", 2)[0])


def handler(event):
    if (event["queryStringParameters"] or {}).get("token") != os.environ["WEBHOOK_TOKEN"]:
        return {"statusCode": 401}
    body = json.loads(event["body"])
    if body["event"] != "job_complete":
        return {"statusCode": 200}
    sqs.send_message(QueueUrl=queue_url, MessageBody=json.dumps({"id": body["id"]}))
    return {"statusCode": 200, "body": json.dumps({"status": "queued", "job": body["id"]})}


def main():
    api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    while True:
        api.request("GET", RUNTIME + "next")
        answer = api.getresponse()
        request_id = answer.headers["Lambda-Runtime-Aws-Request-Id"]
        result = json.dumps(handler(json.loads(answer.read())))
        api.request("POST", f"{RUNTIME}{request_id}/response", body=result)
        api.getresponse().read()


main()
