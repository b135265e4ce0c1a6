# SPDX-License-Identifier: Apache-2.0
"""Secrets as Secrets Manager (moto's) has them, put there by boto3, read by our client."""

import os

import pytest

import programs

PROGRAM = os.environ.get(
    "EGRESS_SECRET_GET", str(programs.ROOT / "build" / "tests" / "secret-get")
)


@pytest.fixture
def get(aws, tmp_path):
    def run(name, env=None):
        place = {"AWS_ENDPOINT_URL_SECRETS_MANAGER": aws.url}
        environment = programs.clean_env(tmp_path, {**aws.env, **place, **(env or {})})
        return programs.Running([PROGRAM, name], environment).wait()

    return run


@pytest.mark.parametrize("by", ["ARN", "Name"])
def test_string(aws, get, by):
    secret = aws.client("secretsmanager").create_secret(Name=f"a/{by}", SecretString="töken\n\"}")
    assert get(secret[by]).ok().stdout == "töken\n\"}"


def test_binary_and_rotation(aws, get):
    client = aws.client("secretsmanager")
    secret = client.create_secret(Name="binary", SecretBinary=b"{\"a\": 1}")
    assert get(secret["ARN"]).ok().stdout == '{"a": 1}'
    client.put_secret_value(SecretId=secret["ARN"], SecretString="another")
    assert get(secret["ARN"]).ok().stdout == "another"


def test_refusals(aws, get):
    r = get("arn:aws:secretsmanager:us-east-1:123456789012:secret:none-AbCdEf")
    assert r.returncode == 3 and "there is no such secret" in r.stderr, r
    secret = aws.client("secretsmanager").create_secret(Name="elsewhere", SecretString="x")
    r = get(secret["ARN"].replace("us-east-1", "eu-west-1"))  # its ARN says where it is
    assert r.returncode == 3, r
    r = get("arn:aws:s3:::bucket")
    assert r.returncode == 2 and "no ARN of a secret" in r.stderr, r
    r = get(secret["ARN"], env={"AWS_ENDPOINT_URL_SECRETS_MANAGER": "http://127.0.0.1:1"})
    assert r.returncode == 1, r
