# SPDX-License-Identifier: Apache-2.0
"""Builds the Lambda program and deploys template.yaml by the SAM command line; run by `make deploy`
with the interpreter that has it. Decides what the template cannot know:

- whether the stack makes the bucket: if it has made it already, or if there is none of that name
- the webhook token, which is generated once and then kept
- one architecture for what is built and for what it runs on

What was given before and is not given again stays as it is. Secrets reach sam in a file that only
its owner can read, never on a command line.
"""

import argparse
import json
import os
import secrets
import subprocess
import sys
import tempfile
from pathlib import Path

import boto3
import botocore.exceptions
from samcli.yamlhelper import yaml_parse

TEMPLATE = Path("template.yaml")
BUILT = Path(".aws-sam/build/template.yaml")
CONSOLE = "https://console.voxel51.com/account/webhooks"


class Refused(Exception):
    """One line for the user."""


def parse():
    parser = argparse.ArgumentParser(prog="make deploy", description=__doc__.split("\n\n")[0])
    parser.add_argument("--stack", default="voxel51-platform-egress")
    parser.add_argument("--bucket", help="where outputs go; needed once")
    parser.add_argument("--token-file", help="api-token.json of the Platform; needed once")
    parser.add_argument("--arch", choices=["x86_64", "arm64"], help="else as before, or x86_64")
    parser.add_argument("--new-webhook-token", action="store_true", help="the URL changes with it")
    parser.add_argument("parameters", nargs="*", metavar="NAME=VALUE", help="of template.yaml")
    given = parser.parse_args()
    given.parameters = dict(split(text) for text in given.parameters)
    return given


def split(text):
    name, equals, value = text.partition("=")
    if not equals or not name.isalnum():
        raise Refused(f"{text}: expected NAME=VALUE, a parameter of template.yaml")
    for own, flag in (("OutputBucketName", "BUCKET"), ("Voxel51ApiToken", "TOKEN_FILE"),
                      ("Architecture", "ARCH")):  # fmt: skip
        if name == own:
            raise Refused(f"{name} is given by {flag}= of `make deploy`")
    known = yaml_parse(TEMPLATE.read_text(encoding="utf-8"))["Parameters"]
    if name not in known:  # sam would leave it out without a word
        raise Refused(f"{TEMPLATE} has no parameter {name}; it has {' '.join(known)}")
    return name, value


# ---- what is there -----------------------------------------------------------------------------


def code(error):
    return error.response["Error"]["Code"]


def find_stack(cloudformation, name):
    """Its parameters as they are (secret ones as ****); None: there is none."""
    try:
        (stack,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
    except botocore.exceptions.ClientError as error:
        if code(error) == "ValidationError" and "does not exist" in str(error):
            return None
        raise
    status = stack["StackStatus"]
    if status == "REVIEW_IN_PROGRESS":
        return None
    if status == "ROLLBACK_COMPLETE":
        raise Refused(
            f"stack {name} is what a failed first deployment has left; delete it and try again:"
            f" aws cloudformation delete-stack --stack-name {name}"
        )
    return {one["ParameterKey"]: one["ParameterValue"] for one in stack.get("Parameters", [])}


def made_by_stack(cloudformation, stack, bucket):
    try:
        detail = cloudformation.describe_stack_resource(
            StackName=stack, LogicalResourceId="OutputBucket"
        )["StackResourceDetail"]
    except botocore.exceptions.ClientError as error:
        if code(error) == "ValidationError":
            return False  # no such resource
        raise
    gone = detail["ResourceStatus"] in ("DELETE_COMPLETE", "DELETE_SKIPPED", "CREATE_FAILED")
    return detail.get("PhysicalResourceId") == bucket and not gone


def exists(session, bucket):
    account = session.client("sts").get_caller_identity()["Account"]
    try:
        found = session.client("s3").head_bucket(Bucket=bucket, ExpectedBucketOwner=account)
    except botocore.exceptions.ClientError as error:
        if code(error) == "404":
            return False
        if code(error) == "403":
            raise Refused(
                f"bucket {bucket} is there, and is another account's or may not be looked at;"
                " choose another name, or say that it is meant: PARAMETERS=CreateBucket=false"
            ) from None
        raise
    region = found["ResponseMetadata"]["HTTPHeaders"].get(
        "x-amz-bucket-region", session.region_name
    )
    if region != session.region_name:
        raise Refused(
            f"bucket {bucket} is in {region}; deploy there (AWS_REGION={region}), or choose another"
        )
    return True


# ---- what is to be -----------------------------------------------------------------------------


def read_token(path):
    """The token's JSON in one line."""
    try:
        token = json.loads(Path(path).read_text(encoding="utf-8"))
        if isinstance(token, dict) and isinstance(token.get("access_token"), dict):
            if token["access_token"].get("private_key"):
                return json.dumps(token, separators=(",", ":"))
    except OSError as error:
        raise Refused(f"{path}: {error.strerror}; expected the Platform's api-token.json") from None
    except ValueError:
        pass
    raise Refused(f"{path} is no token; expected the Platform's api-token.json, as downloaded")


def choose(given, session):
    """The parameters to pass."""
    cloudformation = session.client("cloudformation")
    before = find_stack(cloudformation, given.stack)
    chosen = dict(given.parameters)
    bucket = given.bucket or (before or {}).get("OutputBucketName")
    if not bucket:
        raise Refused("no bucket given; expected BUCKET=NAME, where outputs are to go")
    chosen["OutputBucketName"] = bucket
    if "CreateBucket" not in chosen:
        ours = before is not None and made_by_stack(cloudformation, given.stack, bucket)
        chosen["CreateBucket"] = "true" if ours or not exists(session, bucket) else "false"
    if given.token_file:
        chosen["Voxel51ApiToken"] = read_token(given.token_file)
    elif before is None:
        raise Refused("no token given; expected TOKEN_FILE=api-token.json, the Platform's")
    if given.new_webhook_token or (before is None or "WebhookToken" not in before):
        chosen.setdefault("WebhookToken", secrets.token_urlsafe(32))
    chosen["Architecture"] = given.arch or (before or {}).get("Architecture", "x86_64")
    return chosen


# ---- doing it ----------------------------------------------------------------------------------


def sam(*arguments, **env):
    program = Path(sys.executable).with_name("sam")
    env = {"SAM_CLI_TELEMETRY": "0", **os.environ, **env}
    if subprocess.run([program, *arguments], env=env, check=False).returncode != 0:
        raise Refused(f"sam {arguments[0]} failed (see above)")


def deploy(given, session, chosen):
    arch = chosen["Architecture"]
    sam("build", "--parameter-overrides", f"Architecture={arch}", EGRESS_ARCH=arch)
    with tempfile.TemporaryDirectory(prefix="egress-deploy-") as folder:  # mode 0700
        parameters = Path(folder) / "parameters.yaml"
        parameters.write_text(json.dumps(chosen), encoding="utf-8")  # which is YAML, too
        sam(
            "deploy", "--template-file", str(BUILT), "--stack-name", given.stack,
            "--region", session.region_name, "--resolve-s3", "--capabilities", "CAPABILITY_IAM",
            "--no-confirm-changeset", "--no-fail-on-empty-changeset",
            "--parameter-overrides", f"file://{parameters}",
        )  # fmt: skip
    (stack,) = session.client("cloudformation").describe_stacks(StackName=given.stack)["Stacks"]
    outputs = {one["OutputKey"]: one["OutputValue"] for one in stack["Outputs"]}
    print(f'\nThe URL for {CONSOLE} (event "Job Complete"):\n\n  {outputs["EgressAPI"]}\n')
    print("It has the webhook token, so keep it to yourself.")
    print(f"Outputs go to s3://{outputs['OutputBucket']}")


def main():
    try:
        given = parse()
        session = boto3.Session(region_name=os.environ.get("AWS_REGION"))
        if not session.region_name:
            raise Refused("no region is set; expected AWS_REGION, or a region in the AWS profile")
        chosen = choose(given, session)
        made = "made" if chosen["CreateBucket"] == "true" else "there already"
        print(f"stack {given.stack}, bucket {chosen['OutputBucketName']} ({made}),"
              f" {chosen['Architecture']}", flush=True)  # fmt: skip
        deploy(given, session, chosen)
    except Refused as error:
        sys.exit(f"deploy: {error}")
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        sys.exit(f"deploy: {error}")


if __name__ == "__main__":
    main()
