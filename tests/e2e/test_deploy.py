# SPDX-License-Identifier: Apache-2.0
"""`make deploy`, and the commands that the original documented, against a scripted AWS: create,
update, update; whose the bucket is; what is kept."""

import json
import re
import subprocess
import threading

import pytest

import programs
import sam
from scripted_aws import ACCOUNT, REGION, ScriptedAws

STACK = "voxel51-platform-egress"
TOKEN = {
    "access_token": {
        "private_key": "aaa.bbb.ccc=+/",
        "token_id": "it's one",
        "base_api_url": "https://h",
    }
}
pytestmark = pytest.mark.timeout(600)  # sam takes its time, and a busy machine more of it
MINE, THEIRS = (ACCOUNT, REGION), ("999999999999", REGION)


@pytest.fixture
def cloud():
    server = ScriptedAws()
    yield server
    server.stop()


@pytest.fixture
def token_file(tmp_path):
    path = tmp_path / "the api-token.json"
    path.write_text(json.dumps(TOKEN, indent=2))
    return path


@pytest.fixture
def deploy(cloud, tmp_path):
    """deploy(BUCKET="b", ...) runs `make deploy`; its output."""

    def run(status=0, **variables):
        given = [f"{name}={value}" for name, value in variables.items()]
        return sam.run(
            "make", "deploy", *given, home=tmp_path, status=status, AWS_ENDPOINT_URL=cloud.url
        )

    return run


def url_of(cloud):
    return cloud.stacks[STACK].outputs["EgressAPI"]


def token_of(cloud):
    url = url_of(cloud)
    found = re.fullmatch(
        r"https://api\.execute-api\.us-east-1\.amazonaws\.com/Prod/job-complete\?token=(.*)", url
    )
    return found.group(1)


def test_create_update_update(cloud, deploy, token_file):
    told = deploy(BUCKET="outputs", TOKEN_FILE=token_file)
    first = cloud.deployments[-1]
    assert first["CreateBucket"] == "true" and cloud.buckets["outputs"] == MINE
    assert json.loads(first["Voxel51ApiToken"]) == TOKEN
    webhook_token = token_of(cloud)
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", webhook_token)
    assert url_of(cloud) in told and "console.voxel51.com/account/webhooks" in told
    assert "aaa.bbb.ccc" not in told, "the token was told"

    # The bucket is there now, because this stack has made it.
    deploy()
    assert cloud.deployments[-1] == first
    deploy(PARAMETERS="KeyTemplate=labels/{job_id}.json SyncSchedule='rate(2 hours)'")
    third = {**first, "KeyTemplate": "labels/{job_id}.json", "SyncSchedule": "rate(2 hours)"}
    assert cloud.deployments[-1] == third
    deploy(NEW_WEBHOOK_TOKEN=1)
    assert token_of(cloud) != webhook_token
    assert {**cloud.deployments[-1], "WebhookToken": webhook_token} == third
    assert cloud.stacks[STACK].resources["OutputBucket"] == "outputs"
    # No bucket but this and the one that sam keeps packages in.
    assert cloud.buckets.keys() == {"outputs", "sam-source"}


def test_a_bucket_that_is_there(cloud, deploy, token_file):
    cloud.buckets["outputs"] = MINE
    for given in ({"BUCKET": "outputs", "TOKEN_FILE": token_file}, {}):
        deploy(**given)
        assert cloud.deployments[-1]["CreateBucket"] == "false"
        assert "OutputBucket" not in cloud.stacks[STACK].resources
        assert cloud.stacks[STACK].outputs["OutputBucket"] == "outputs"


def test_another_bucket(cloud, deploy, token_file):
    deploy(BUCKET="outputs", TOKEN_FILE=token_file)
    cloud.buckets["others"] = MINE
    deploy(BUCKET="others")
    assert cloud.deployments[-1]["CreateBucket"] == "false"
    assert cloud.buckets["outputs"] == MINE, "it is kept"
    deploy(BUCKET="outputs")
    assert cloud.deployments[-1]["CreateBucket"] == "false", "it is there, and the stack's no more"
    deploy(BUCKET="third-one")
    assert cloud.deployments[-1]["CreateBucket"] == "true"


def test_a_bucket_that_may_not_be_used(cloud, deploy, token_file):
    cloud.buckets["theirs"] = THEIRS
    told = deploy(BUCKET="theirs", TOKEN_FILE=token_file, status=2)
    assert "bucket theirs is there, and is another account's" in told
    cloud.buckets["far"] = (ACCOUNT, "eu-west-1")
    told = deploy(BUCKET="far", TOKEN_FILE=token_file, status=2)
    assert "bucket far is in eu-west-1; deploy there (AWS_REGION=eu-west-1)" in told
    assert cloud.stacks == {}
    deploy(BUCKET="theirs", TOKEN_FILE=token_file, PARAMETERS="CreateBucket=false")
    assert cloud.deployments[-1]["CreateBucket"] == "false"


def test_the_architecture_goes_with_what_is_built(cloud, deploy, token_file):
    def machine():
        program = programs.ROOT / ".aws-sam" / "build" / "EgressFunction" / "bootstrap"
        return program.read_bytes()[18]  # e_machine

    deploy(BUCKET="outputs", TOKEN_FILE=token_file, ARCH="arm64")
    assert cloud.deployments[-1]["Architecture"] == "arm64" and machine() == 183
    deploy()
    assert cloud.deployments[-1]["Architecture"] == "arm64" and machine() == 183
    deploy(ARCH="x86_64")
    assert cloud.deployments[-1]["Architecture"] == "x86_64" and machine() == 62


def test_what_is_missing_or_wrong(cloud, deploy, tmp_path, token_file):
    assert "no bucket given; expected BUCKET=NAME" in deploy(status=2)
    assert "expected TOKEN_FILE=api-token.json" in deploy(BUCKET="b-b", status=2)
    wrong = tmp_path / "wrong.json"
    for text in ("", "[]", '{"access_token":{}}', '"secret-text"'):
        wrong.write_text(text)
        told = deploy(BUCKET="b-b", TOKEN_FILE=wrong, status=2)
        assert f"{wrong} is no token" in told and "secret-text" not in told
    told = deploy(BUCKET="b-b", TOKEN_FILE=tmp_path / "none.json", status=2)
    assert "none.json: No such file or directory" in told
    told = deploy(BUCKET="b-b", TOKEN_FILE=token_file, PARAMETERS="Architecture=arm64", status=2)
    assert "Architecture is given by ARCH=" in told
    told = deploy(BUCKET="b-b", TOKEN_FILE=token_file, PARAMETERS="Nonsense=1", status=2)
    assert "template.yaml has no parameter Nonsense; it has Voxel51ApiToken" in told
    told = deploy(BUCKET="b-b", TOKEN_FILE=token_file, PARAMETERS="BatchSize=11", status=2)
    assert "sam deploy failed" in told
    assert not [line for line in told.splitlines() if "Traceback" in line]


def test_what_a_failed_first_deployment_left(cloud, deploy, token_file):
    deploy(BUCKET="outputs", TOKEN_FILE=token_file)
    cloud.stacks[STACK].status = "ROLLBACK_COMPLETE"
    assert "delete it and try again: aws cloudformation delete-stack" in deploy(status=2)


def test_no_secret_in_the_process_list(cloud, tmp_path, token_file):
    """Looked at as long as it runs."""
    seen, ended = set(), threading.Event()

    def look():
        while not ended.is_set():
            listed = subprocess.run(
                ["ps", "-eo", "args", "--no-headers", "-ww"], capture_output=True
            )
            seen.update(listed.stdout.decode(errors="replace").splitlines())

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        env = {"home": tmp_path, "AWS_ENDPOINT_URL": cloud.url}
        sam.run("make", "deploy", "BUCKET=outputs", f"TOKEN_FILE={token_file}", **env)
    finally:
        ended.set()
        watcher.join()
    assert [line for line in seen if "sam deploy" in line], "nothing was seen"
    assert not [line for line in seen if "aaa.bbb.ccc" in line or token_of(cloud) in line]


def test_an_original_stack_is_upgraded(cloud, deploy, token_file):
    """One that has none of our parameters and resources, but those of the same names."""
    deploy(BUCKET="outputs", TOKEN_FILE=token_file)
    stack = cloud.stacks[STACK]
    names = ("Voxel51ApiToken", "OutputBucketName")
    stack.template["Parameters"] = {name: {"Type": "String"} for name in names}
    stack.parameters = {name: stack.parameters[name] for name in names}
    deploy()
    assert cloud.deployments[-1]["CreateBucket"] == "true"
    assert json.loads(cloud.deployments[-1]["Voxel51ApiToken"]) == TOKEN
    assert len(token_of(cloud)) == 43


@pytest.mark.parametrize("code_bucket", [["--s3-bucket", "code"], ["--resolve-s3"]])
def test_the_commands_of_the_original(cloud, tmp_path, code_bucket):
    """Build, package, deploy: the token as text on the command line, no webhook token given."""
    cloud.buckets["code"] = MINE
    build, packaged = tmp_path / "build", tmp_path / "packaged.yaml"
    env = {"home": tmp_path, "AWS_ENDPOINT_URL": cloud.url}
    sam.run("sam", "build", "--build-dir", build, **env)
    sam.run("sam", "package", "--template-file", build / "template.yaml", *code_bucket,
            "--output-template-file", packaged, **env)  # fmt: skip
    text = json.dumps(TOKEN).replace('"', '\\"')
    told = sam.run(
        "sam", "deploy", "--template-file", packaged, "--stack-name", "mine",
        "--capabilities", "CAPABILITY_IAM", "--parameter-overrides",
        f'Voxel51ApiToken="{text}"', "OutputBucketName=outputs", **env,
    )  # fmt: skip
    (given,) = cloud.deployments[-1:]
    assert json.loads(given["Voxel51ApiToken"]) == TOKEN
    assert (given["CreateBucket"], given["WebhookToken"]) == ("true", "")
    stack = cloud.stacks["mine"]
    assert stack.outputs["EgressAPI"].endswith("?token=" + stack.id.rpartition("/")[2])
    assert "aaa.bbb.ccc" not in told
    sam.run("sam", "deploy", "--template-file", packaged, "--stack-name", "mine",
            "--parameter-overrides", "BatchSize=1", **env)  # fmt: skip
    assert cloud.deployments[-1] == {**given, "BatchSize": "1"}
    sam.run("sam", "deploy", "--template-file", packaged, "--stack-name", "mine",
            "--parameter-overrides", "KeyTemplate=labels/{job_id}.json", **env)  # fmt: skip
    last = {**given, "BatchSize": "1", "KeyTemplate": "labels/{job_id}.json"}
    assert cloud.deployments[-1] == last and cloud.buckets["outputs"] == MINE
    assert stack.resources["OutputBucket"] == "outputs", "it was not made a second time"
