# SPDX-License-Identifier: Apache-2.0
"""The SAM application: that it is well-formed, builds and packs as documented, and that what
template.yaml allows is what its functions need: the programs run as users who may do just that."""

import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import urllib.parse
import zipfile

import pytest

import programs
import sam
from lambda_runtime import Poller

FUNCTIONS = ["EgressFunction", "EgressWorkerFunction"]
STACK_ID = (
    "arn:aws:cloudformation:us-east-1:123456789012:stack/s/9a1b2c3d-1111-2222-3333-444455556666"
)


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def copy(tmp_path):
    """What a user has: the files of the project and the program for x86_64, built."""
    to = tmp_path / "project"
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=programs.ROOT, capture_output=True, check=True
    ).stdout.decode()
    for name in listed.split("\0")[:-1]:
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(programs.ROOT / name, to / name)
    program = to / "build" / "lambda" / "x86_64" / "bootstrap"
    program.parent.mkdir(parents=True)
    shutil.copy(sam.PREBUILT / "x86_64" / "bootstrap", program)
    return to


# ---- form --------------------------------------------------------------------------------------


def test_lint(tmp_path):
    assert sam.run("cfn-lint", "template.yaml", home=tmp_path) == ""
    told = sam.run("sam", "validate", "--lint", home=tmp_path)
    assert told == f"{sam.TEMPLATE} is a valid SAM Template\n"


def test_names_of_the_original():
    template = sam.read()
    assert {"Voxel51ApiToken", "OutputBucketName"} <= template["Parameters"].keys()
    assert {"EgressFunction", "OutputBucket", "ApiToken"} <= template["Resources"].keys()
    outputs = {"EgressAPI", "EgressFunction", "EgressFunctionIamRole"}
    assert outputs <= template["Outputs"].keys()
    assert all(
        template["Parameters"][name]["NoEcho"] for name in ("Voxel51ApiToken", "WebhookToken")
    )


def test_what_there_is():
    """What users were promised of the resources."""
    template = sam.read()
    resources = template["Resources"]

    def of(name):
        return resources[name]["Properties"]

    for name in FUNCTIONS:
        assert resources[name]["Metadata"] == {"BuildMethod": "makefile"}
        assert of(f"{name}Logs")["RetentionInDays"] == {"Ref": "LogRetentionDays"}
    shared = template["Globals"]["Function"]
    assert shared["Runtime"] == "provided.al2023"
    assert shared["Architectures"] == [{"Ref": "Architecture"}]
    route = of("EgressFunction")["Events"]["JobCompleteRoute"]["Properties"]
    assert route == {"Path": "/job-complete", "Method": "post"}
    assert "/Prod/job-complete?token=" in json.dumps(template["Outputs"]["EgressAPI"])
    (api,) = template["Globals"]["Api"]["MethodSettings"]
    assert api["ThrottlingRateLimit"] == {"Ref": "WebhookRateLimit"}
    assert of("EgressWorkerFunction")["RecursiveLoop"] == "Allow"
    assert of("EgressWorkerFunction")["Events"]["Sync"]["Type"] == "Schedule"
    assert of("EgressWorkerQueue")["ScalingConfig"] == {
        "MaximumConcurrency": {"Ref": "MaximumConcurrency"}
    }
    assert resources["OutputBucket"]["DeletionPolicy"] == "Retain"
    bucket = of("OutputBucket")
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert bucket["BucketEncryption"] and bucket["NotificationConfiguration"] == {
        "EventBridgeConfiguration": {"EventBridgeEnabled": True}
    }
    (rule,) = bucket["LifecycleConfiguration"]["Rules"]
    assert rule["Status"] == "Enabled" and rule["AbortIncompleteMultipartUpload"]
    alarms = {n for n, r in resources.items() if r["Type"] == "AWS::CloudWatch::Alarm"}
    documented = (programs.ROOT / "docs" / "aws.md").read_text()
    assert alarms == set(re.findall(r"^\| `(\w+Alarm)` \|", documented, re.M)) and len(alarms) == 6


def test_no_aliases():
    """CloudFormation does not read YAML's aliases."""
    text = sam.TEMPLATE.read_text()
    assert not re.search(r"(^|\s)[&*][A-Za-z]", re.sub(r"#.*|\".*?\"", "", text))


def test_limits_that_belong_together():
    """Those that AWS has, of one resource by another."""
    resources = sam.read()["Resources"]
    queue, letters = resources["JobQueue"]["Properties"], resources["DeadLetterQueue"]["Properties"]
    timeout = resources["EgressWorkerFunction"]["Properties"]["Timeout"]
    assert queue["VisibilityTimeout"] >= 6 * timeout and timeout <= 900
    assert queue["RedrivePolicy"]["maxReceiveCount"] >= 5
    assert letters["MessageRetentionPeriod"] == 14 * 86400 > queue["MessageRetentionPeriod"]
    mapping = resources["EgressWorkerQueue"]["Properties"]
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    template = sam.read()
    sizes = template["Parameters"]["WorkerMemory"]["AllowedValues"]
    for size in sizes:
        parts = template["Mappings"]["PartMemory"][str(size)]["Size"]
        assert int(parts.removesuffix("MiB")) <= size - 200


def test_alarms_look_at_metrics_that_there_are():
    header = (programs.ROOT / "src" / "report" / "emf.h").read_text()
    metrics = dict(re.findall(r'X\(EMF_\w+, "(\w+)", "(\w+)"\)', header))
    looked_at = set()
    for resource in sam.read()["Resources"].values():
        if resource["Type"] == "AWS::CloudWatch::Alarm":
            of = resource["Properties"]
            for one in [
                of,
                *(m["MetricStat"]["Metric"] for m in of.get("Metrics", []) if "MetricStat" in m),
            ]:
                if one.get("Namespace") == "Egress":
                    looked_at.add(one["MetricName"])
                    assert [d["Name"] for d in one["Dimensions"]] == ["FunctionName"]
    assert looked_at == {"SecondsToExpiry", "Expired"} and looked_at <= metrics.keys()
    assert 'EMF_NAMESPACE "Egress"' in header and 'EMF_DIMENSION "FunctionName"' in header


def test_the_build_image_has_the_same_builders():
    wanted = re.search(r"aws_lambda_builders==\S+", (programs.ROOT / "Dockerfile.sam").read_text())
    listed = (programs.ROOT / "tools" / "requirements-sam.txt").read_text().splitlines()
    assert wanted.group() in listed


def policy_actions(template):
    """RESOURCE -> what it may do."""
    found = {}
    for name, resource in template["Resources"].items():
        if resource["Type"] == "AWS::IAM::Role":
            for policy in resource["Properties"]["Policies"]:
                for statement in policy["PolicyDocument"]["Statement"]:
                    for one in statement.get("Fn::If", [statement])[-2:]:
                        action = one.get("Action", []) if isinstance(one, dict) else []
                        found.setdefault(name, []).extend(
                            [action] if isinstance(action, str) else action
                        )
    return found


def test_least_privilege():
    actions = policy_actions(sam.read())
    logs = ["logs:CreateLogStream", "logs:PutLogEvents"]
    assert actions["EgressFunctionRole"] == ["sqs:SendMessage", *logs]
    assert not [action for role in actions.values() for action in role if "*" in action]
    for name in FUNCTIONS:  # SAM gives none of its own to a function that has a role
        assert sam.read()["Resources"][name]["Properties"]["Role"]


# ---- building ----------------------------------------------------------------------------------


def assert_built(folder, arch):
    expected = sha256(sam.PREBUILT / arch / "bootstrap")
    for name in FUNCTIONS:
        program = folder / name / "bootstrap"
        assert [path.name for path in program.parent.iterdir()] == ["bootstrap"]
        assert sha256(program) == expected
        assert os.access(program, os.X_OK)


@pytest.mark.parametrize("how", ["--build-in-source", "--no-build-in-source", None])
def test_build(copy, how):
    """None: as samconfig.toml has it, which copies nothing."""
    told = sam.run("sam", "build", *([how] if how else []), home=copy.parent, cwd=copy)
    assert_built(copy / ".aws-sam" / "build", "x86_64")
    assert ("CopySource" in told) == (how == "--no-build-in-source")
    assert "  cc " not in told, "it was built again"


def test_build_for_arm64(tmp_path):
    told = sam.run(
        "sam", "build", "--build-dir", tmp_path / "b", "--parameter-overrides",
        "Architecture=arm64", home=tmp_path, EGRESS_ARCH="arm64",
    )  # fmt: skip
    assert "architecture: arm64" in told
    assert_built(tmp_path / "b", "arm64")


def without_apt(folder):
    """A PATH that has all but apt."""
    for place in ("/bin", "/usr/bin"):
        for path in os.scandir(place):
            target = folder / path.name
            if not path.name.startswith("apt") and not target.is_symlink():
                target.symlink_to(path.path)
    return f"{sam.BIN}:{folder}"


def test_build_where_it_cannot_be_built(copy, tmp_path):
    (tmp_path / "bin").mkdir()
    path = without_apt(tmp_path / "bin")
    sam.run("sam", "build", home=tmp_path, cwd=copy, PATH=path)
    assert_built(copy / ".aws-sam" / "build", "x86_64")
    shutil.rmtree(copy / "build")
    told = sam.run("sam", "build", home=tmp_path, cwd=copy, status=1, PATH=path)
    assert "make lambda ARCH=x86_64" in told and "container" in told
    told = sam.run("sam", "build", home=tmp_path, cwd=copy, status=1, PATH=path, EGRESS_ARCH="mips")
    assert "EGRESS_ARCH is 'mips'; expected x86_64 or arm64" in told


def test_package(aws, tmp_path):
    """The original's way, into a bucket on loopback; test_deploy.py has --resolve-s3."""
    client = aws.client("s3")
    client.create_bucket(Bucket="code")
    build, packaged = tmp_path / "build", tmp_path / "packaged.yaml"
    sam.run("sam", "build", "--build-dir", build, home=tmp_path)
    sam.run(
        "sam", "package", "--template-file", build / "template.yaml", "--s3-bucket", "code",
        "--output-template-file", packaged, home=tmp_path, AWS_ENDPOINT_URL=aws.url,
    )  # fmt: skip
    template = sam.read(packaged)
    for name in FUNCTIONS:
        uri = urllib.parse.urlsplit(template["Resources"][name]["Properties"]["CodeUri"])
        assert (uri.scheme, uri.netloc) == ("s3", "code")
        body = client.get_object(Bucket="code", Key=uri.path[1:])["Body"].read()
        assert len(body) <= 3_000_000
        (entry,) = zipfile.ZipFile(io.BytesIO(body)).infolist()
        assert entry.filename == "bootstrap"
        assert entry.external_attr >> 16 & 0o111 == 0o111
    assert packaged.stat().st_size < 51_200, "CloudFormation takes no larger one without a bucket"


# ---- what it is allowed, and what it does with that --------------------------------------------


@pytest.fixture
def application(ceph, aws, sim):
    """application(*options of the simulator)"""

    def start(*options):
        s = sim("--generate", 3, "--size", "20M", "--seed", 4, "--set", "body_rate=12M", *options)
        return deploy(ceph, aws, s)

    return start


def deploy(ceph, aws, s):
    """Queue, secret and bucket, and the template that knows them; the worker's S3 credentials may
    do what its role may."""
    queue = aws.queue(VisibilityTimeout=60)
    secret = aws.secret(
        json.dumps({"access_token": {"private_key": s.token, "base_api_url": s.url}})
    )
    bucket = ceph.bucket()
    attributes = {
        "JobQueue.Arn": "the-queue",
        "EgressFunctionLogs.Arn": "logs",
        "EgressWorkerFunctionLogs.Arn": "logs",
        "EgressFunctionRole.Arn": "role",
        "EgressWorkerFunctionRole.Arn": "role",
    }
    template = sam.Resolved(
        sam.read(),
        {"OutputBucketName": bucket, "Voxel51ApiToken": "x"},
        {"JobQueue": queue.url, "ApiToken": secret, "AWS::StackId": STACK_ID,
         "EgressFunctionLogs": "l", "EgressWorkerFunctionLogs": "l"},
        attributes,
    )  # fmt: skip
    user = f"worker-{bucket}"
    keys = {"AWS_ACCESS_KEY_ID": user[-20:].upper(), "AWS_SECRET_ACCESS_KEY": "of/the+worker=="}
    ceph.admin(
        "user", "create", f"--uid={user}", "--display-name=worker",
        f"--access-key={keys['AWS_ACCESS_KEY_ID']}", f"--secret={keys['AWS_SECRET_ACCESS_KEY']}",
    )  # fmt: skip
    (policy,) = template.resource("EgressWorkerFunctionRole")["Policies"]
    statements = [
        {**statement, "Principal": {"AWS": [f"arn:aws:iam:::user/{user}"]}}
        for statement in policy["PolicyDocument"]["Statement"]
        if str(statement["Action"]).count("s3:")
    ]
    assert len(statements) == 3
    document = {"Version": "2012-10-17", "Statement": statements}
    ceph.client().put_bucket_policy(Bucket=bucket, Policy=json.dumps(document))
    return Application(s, queue, ceph, aws, bucket, template, keys)


class Application:
    def __init__(self, sim, queue, ceph, aws, bucket, template, keys):
        self.sim, self.queue, self.ceph, self.aws, self.bucket = sim, queue, ceph, aws, bucket
        self.template = template
        self.keys = keys

    def env(self, name):
        """As the template has it; with parts so small that there are several."""
        variables = self.template.resource(name)["Environment"]["Variables"]
        keys = self.keys if name == "EgressWorkerFunction" else {}
        return {**variables, "EGRESS_MEMORY": "16MiB", **keys}

    def client(self):
        """Of the worker."""
        return self.ceph.client(
            aws_access_key_id=self.keys["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.keys["AWS_SECRET_ACCESS_KEY"],
        )

    def listed(self):
        listed = self.ceph.client().list_objects_v2(Bucket=self.bucket).get("Contents", [])
        return [entry["Key"] for entry in listed]

    def objects(self):
        return [key for key in self.listed() if not key.startswith(".egress/")]

    def receipts(self):
        return [key for key in self.listed() if re.fullmatch(r"\.egress/.*\.json", key)]


def test_it_does_all_with_what_the_template_allows(function, application):
    allowed = application()
    receiver = function(aws=allowed.aws, env=allowed.env("EgressFunction"))
    token = STACK_ID.rpartition("/")[2]
    jobs = allowed.sim.ids()
    event = json.loads((programs.ROOT / "events" / "proxy-v1.json").read_text())
    event["body"] = json.dumps({"id": jobs[0], "event": "job_complete"})
    assert receiver.invoke(event).proxied(401)
    event["queryStringParameters"] = {"token": token}
    assert receiver.invoke(event).proxied(200)["status"] == "queued"

    # From here on as the role: a transfer that several invocations hand to one another, and ...
    worker = function(aws=allowed.aws, s3=allowed.ceph, env=allowed.env("EgressWorkerFunction"))
    poller = Poller(worker, allowed.queue)
    hops = 0
    while not allowed.objects():
        assert poller.deliver(deadline_s=2.2)[1].failures() == [], worker.log()
        hops += 1
    assert hops >= 2
    # ... what no webhook brought.
    schedule = json.loads((programs.ROOT / "events" / "schedule.json").read_text())
    assert worker.invoke(schedule).json["queued"] == 2
    records, outcome = poller.deliver()
    assert len(records) == 2 and outcome.failures() == []
    assert worker.invoke(schedule).json["missing"] == 0
    assert [line["outcome"] for line in worker.outcomes()].count("stored") == 3
    # Of each job the output and its receipt; marks of uploads under way could be taken back.
    assert sorted(allowed.listed()) == sorted(allowed.objects() + allowed.receipts())
    assert len(allowed.receipts()) == 3
    for job in jobs:
        (key,) = [key for key in allowed.objects() if job in key]
        body = allowed.client().get_object(Bucket=allowed.bucket, Key=key)["Body"].read()
        assert hashlib.sha256(body).hexdigest() == allowed.sim.digest(job)


def test_what_is_undone_leaves_no_output(function, application):
    """A checksum that is wrong, which shows when all parts are there."""
    allowed = application("--set", "digest=sha-256", "--set", "hash_lie=yes")
    worker = function(aws=allowed.aws, s3=allowed.ceph, env=allowed.env("EgressWorkerFunction"))
    outcome = worker.invoke({"id": allowed.sim.ids()[0]})
    assert outcome.error["errorType"] == "Egress.integrity", outcome
    owner = allowed.ceph.client()
    assert allowed.objects() == [] and allowed.receipts() == []
    assert "Uploads" not in owner.list_multipart_uploads(Bucket=allowed.bucket)


def test_what_the_template_does_not_allow(application):
    allowed = application()
    client = allowed.client()
    client.put_object(Bucket=allowed.bucket, Key="job/labels.json", Body=b"")
    client.put_object(Bucket=allowed.bucket, Key=".egress/voxel51/job.json", Body=b"")
    with pytest.raises(client.exceptions.ClientError, match="AccessDenied"):
        client.delete_object(Bucket=allowed.bucket, Key="job/labels.json")
    client.delete_object(Bucket=allowed.bucket, Key=".egress/voxel51/job.json")
    with pytest.raises(client.exceptions.ClientError, match="AccessDenied"):
        client.put_bucket_acl(Bucket=allowed.bucket, ACL="public-read")


# ---- samples -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(p.name for p in (programs.ROOT / "events").iterdir()))
def test_every_sample_is_served(function, sim, tmp_path, name):
    event = json.loads((programs.ROOT / "events" / name).read_text())
    jobs = ["016f6063-51a1-4948-a827-ce4c31ec53ed", "8d1c2f0c-7a35-4c1b-9f0e-5b0d3c6e2a11"]
    for job in jobs:
        (tmp_path / "jobs" / job).mkdir(parents=True)
        (tmp_path / "jobs" / job / "labels.json").write_text('{"labels": []}')
    s = sim("--jobs", tmp_path / "jobs")
    worker = function(sim=s, env={"EGRESS_TO": tmp_path / "out"})
    outcome = worker.invoke(event)
    expected = {"sqs.json": jobs, "schedule.json": []}.get(name, jobs[:1])
    assert sorted(p.name for p in (tmp_path / "out").glob("[0-9a-f]*")) == expected, outcome
    if name == "schedule.json":
        assert "EGRESS_QUEUE" in str(outcome)
    elif name == "sqs.json":
        assert outcome.failures() == []
    else:
        assert outcome.kind == "response"
