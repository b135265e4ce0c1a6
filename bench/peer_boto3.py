# SPDX-License-Identifier: Apache-2.0
"""peer_boto3 URL ENDPOINT: what a program with boto3 does with one output: upload_fileobj() of what
urllib opens."""

import sys
import urllib.request

import boto3
from botocore.config import Config


def main():
    url, endpoint = sys.argv[1:]
    config = Config(s3={"payload_signing_enabled": False, "addressing_style": "path"})
    s3 = boto3.client("s3", endpoint_url=endpoint, config=config)
    with urllib.request.urlopen(url) as body:
        s3.upload_fileobj(body, "bench", "boto3")


main()
