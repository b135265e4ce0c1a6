# SPDX-License-Identifier: Apache-2.0
"""Events of every kind, for tests of the Lambda program."""

import base64
import json

import pytest

TOKEN = "the-token.of_this~webhook"


def webhook(job, **members):
    return json.dumps({"id": job, "event": "job_complete", "msg": "it is done", **members})


def v1(body, method="POST", **members):
    return {"httpMethod": method, "path": "/job-complete", "body": body, **members}


def v2(body, method="POST", **members):
    context = {"http": {"method": method, "path": "/job-complete"}}
    return {"version": "2.0", "requestContext": context, "body": body, **members}


def encoded(body, method="POST", **members):
    text = base64.b64encode(body.encode()).decode()
    return v2(text, method, isBase64Encoded=True, **members)


FORMS = {"v1": v1, "v2": v2, "base64": encoded}
SCHEDULE = {"id": "x", "detail-type": "Scheduled Event", "source": "aws.events", "detail": {}}


def to_bucket(bucket):
    return {"BUCKET_NAME": bucket.bucket, "PREFIX": bucket.prefix}


@pytest.fixture
def jobs(sim):
    """Three small ones."""
    return sim("--generate", 3, "--size", 1000)
