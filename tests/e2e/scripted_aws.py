# SPDX-License-Identifier: Apache-2.0
"""As much of AWS as deploying a stack asks for, played by a script: CloudFormation, S3, STS.

Stacks are what CloudFormation makes of a template in this respect: parameters with their previous
values, conditions, which resources there are, outputs. A bucket that a stack is to make and that is
there already fails the deployment; one that leaves the stack stays."""

import datetime
import http.server
import json
import re
import subprocess
import tempfile
import threading
import urllib.parse
import uuid
from xml.sax.saxutils import escape

import sam

ACCOUNT = "123456789012"
REGION = "us-east-1"


class Problem(Exception):
    def __init__(self, message, code="ValidationError"):
        super().__init__(message)
        self.code = code


def markup(value):
    """Lists as AWS's query protocol has them: <member> elements."""
    if isinstance(value, dict):
        return "".join(f"<{name}>{markup(inner)}</{name}>" for name, inner in value.items())
    if isinstance(value, list):
        return "".join(f"<member>{markup(inner)}</member>" for inner in value)
    return escape(str(value))


class Stack:
    def __init__(self, name):
        self.name = name
        self.id = f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/{name}/{uuid.uuid4()}"
        self.template = {"Parameters": {}, "Resources": {}}
        self.parameters = {}
        self.resources = {}  # logical id -> physical id
        self.outputs = {}
        self.changes = None
        self.events = []  # (when, status), the latest first
        self.set_status("REVIEW_IN_PROGRESS")

    def set_status(self, status):
        now = datetime.datetime.now(datetime.timezone.utc)
        self.status = status
        self.events.insert(0, (now.isoformat(timespec="microseconds"), status))


class ScriptedAws:
    def __init__(self):
        self.stacks = {}
        self.buckets = {}  # name -> (account, region)
        self.objects = {}  # (bucket, key) -> bytes
        self.deployments = []  # the parameters of each, in clear
        aws = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self, status, body=b"", headers=()):
                self.send_response(status)
                for name, value in dict(headers).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            def handle_any(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                form = dict(urllib.parse.parse_qsl(body.decode("latin-1"), keep_blank_values=True))
                if self.command == "POST" and "Action" in form:
                    self.query(form)
                else:
                    self.s3(body)

            do_GET = do_HEAD = do_PUT = do_POST = handle_any

            def query(self, form):
                action = form["Action"]
                try:
                    got = {f"{action}Result": getattr(aws, "do_" + action)(form)}
                    self.answer(200, markup({f"{action}Response": got}).encode())
                except Exception as error:
                    code = error.code if isinstance(error, Problem) else "BugOfTheScript"
                    told = {"Type": "Sender", "Code": code, "Message": str(error) or repr(error)}
                    self.answer(400, markup({"ErrorResponse": {"Error": told}}).encode())

            def s3(self, body):
                path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
                _, bucket, *key = path.split("/", 2)
                owner, region = aws.buckets.get(bucket, (None, None))
                if owner is None:
                    self.answer(404)
                elif not key or not key[0]:
                    expected = self.headers.get("x-amz-expected-bucket-owner", owner)
                    self.answer(
                        200 if expected == owner else 403, b"", {"x-amz-bucket-region": region}
                    )
                elif self.command == "PUT":
                    aws.objects[bucket, key[0]] = unchunked(self.headers, body)
                    self.answer(200, b"", {"ETag": '"e"'})
                elif (bucket, key[0]) in aws.objects:
                    self.answer(200, aws.objects[bucket, key[0]], {"ETag": '"e"'})
                else:
                    self.answer(404)

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    # ---- STS -------------------------------------------------------------------------------

    def do_GetCallerIdentity(self, _):
        return {"Account": ACCOUNT, "UserId": "u", "Arn": f"arn:aws:iam::{ACCOUNT}:user/u"}

    # ---- CloudFormation --------------------------------------------------------------------

    def stack(self, form):
        asked = form["StackName"]
        for stack in self.stacks.values():
            if asked in (stack.name, stack.id):
                return stack
        raise Problem(f"Stack with id {asked} does not exist")

    def do_DescribeStacks(self, form):
        stack = self.stack(form)
        hidden = {
            n for n, p in stack.template["Parameters"].items() if p.get("NoEcho") in (True, "true")
        }
        parameters = [
            {"ParameterKey": name, "ParameterValue": "****" if name in hidden else value}
            for name, value in stack.parameters.items()
        ]
        outputs = [{"OutputKey": n, "OutputValue": v} for n, v in stack.outputs.items()]
        tags = [{"Key": "ManagedStackSource", "Value": "AwsSamCli"}]
        return {"Stacks": [{
            "StackName": stack.name, "StackId": stack.id, "StackStatus": stack.status,
            "CreationTime": "2020-01-20T15:00:00Z", "Parameters": parameters, "Outputs": outputs,
            "Tags": tags if stack.name.startswith("aws-sam-cli") else [],
        }]}  # fmt: skip

    def do_DescribeStackResource(self, form):
        stack, logical = self.stack(form), form["LogicalResourceId"]
        if logical not in stack.resources:
            raise Problem(f"Resource {logical} does not exist for stack {stack.name}")
        return {"StackResourceDetail": {
            "LogicalResourceId": logical, "PhysicalResourceId": stack.resources[logical],
            "ResourceStatus": "CREATE_COMPLETE", "ResourceType": "AWS::S3::Bucket",
            "LastUpdatedTimestamp": "2020-01-20T15:00:00Z",
        }}  # fmt: skip

    def do_GetTemplateSummary(self, form):
        names = self.stack(form).template["Parameters"]
        return {"Parameters": [{"ParameterKey": name} for name in names]}

    def do_CreateChangeSet(self, form):
        name, create = form["StackName"], form["ChangeSetType"] == "CREATE"
        if create and name not in self.stacks:
            self.stacks[name] = Stack(name)
        stack = self.stack(form)
        text = form.get("TemplateBody")
        if not text:
            bucket, key = urllib.parse.urlsplit(form["TemplateURL"]).path[1:].split("/", 1)
            text = self.objects[bucket, key].decode()
        template = read_template(text)
        template.setdefault("Parameters", {})
        parameters = {
            name: str(one["Default"])
            for name, one in template["Parameters"].items()
            if "Default" in one
        }
        number = 1
        while key := form.get(f"Parameters.member.{number}.ParameterKey"):
            if key not in template["Parameters"]:
                raise Problem(f"Parameters: [{key}] do not exist in the template")
            if form.get(f"Parameters.member.{number}.UsePreviousValue") == "true":
                if key not in stack.parameters:
                    raise Problem(
                        f"Invalid input for parameter key {key}. Cannot specify usePreviousValue"
                    )
                parameters[key] = stack.parameters[key]
            else:
                parameters[key] = form[f"Parameters.member.{number}.ParameterValue"]
            number += 1
        missing = sorted(template["Parameters"].keys() - parameters.keys())
        if missing:
            raise Problem(f"Parameters: {missing} must have values")
        for key, value in parameters.items():
            check_parameter(key, value, template["Parameters"][key])
        stack.changes = (template, parameters)
        return {
            "Id": f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:changeSet/c/1",
            "StackId": stack.id,
        }

    def do_DescribeChangeSet(self, form):
        stack = self.stack(form)
        change = {"Action": "Add", "LogicalResourceId": "X", "ResourceType": "AWS::SQS::Queue"}
        return {"ChangeSetName": "c", "StackId": stack.id, "Status": "CREATE_COMPLETE",
                "Changes": [{"Type": "Resource", "ResourceChange": change}]}  # fmt: skip

    def do_ExecuteChangeSet(self, form):
        stack = self.stack(form)
        (template, parameters), stack.changes = stack.changes, None
        kind = "CREATE" if stack.status == "REVIEW_IN_PROGRESS" else "UPDATE"
        self.deployments.append(parameters)
        refs = {
            "AWS::StackId": stack.id, "AWS::StackName": stack.name, "AWS::Region": REGION,
            "AWS::URLSuffix": "amazonaws.com", "AWS::AccountId": ACCOUNT,
            "ServerlessRestApi": "api",
            "SamCliSourceBucket": "sam-source",
        }  # fmt: skip
        resources = template["Resources"]
        refs = {**{name: f"{stack.name}-{name}" for name in resources}, **refs}
        attributes = {
            f"{name}.{what}": f"arn:{name}" for name in resources for what in ("Arn", "QueueName")
        }
        resolved = sam.Resolved(template, parameters, refs, attributes)
        there = {}
        for name, resource in resources.items():
            condition = resource.get("Condition")
            if condition and not resolved.resolve(template["Conditions"][condition]):
                continue
            there[name] = refs[name]
            if resource["Type"] == "AWS::S3::Bucket":
                there[name] = resolved.resolve(resource["Properties"]).get("BucketName", refs[name])
                if stack.resources.get(name) != there[name] and there[name] in self.buckets:
                    stack.set_status(f"{'' if kind == 'CREATE' else 'UPDATE_'}ROLLBACK_COMPLETE")
                    return {}
        for name, physical in there.items():
            if resources[name]["Type"] == "AWS::S3::Bucket":
                self.buckets.setdefault(physical, (ACCOUNT, REGION))
        stack.template, stack.parameters, stack.resources = template, parameters, there
        stack.outputs = {
            name: resolved.resolve(output["Value"])
            for name, output in template.get("Outputs", {}).items()
        }
        stack.set_status(f"{kind}_COMPLETE")
        return {}

    def do_DescribeStackEvents(self, form):
        stack = self.stack(form)
        return {"StackEvents": [{
            "StackId": stack.id, "StackName": stack.name, "LogicalResourceId": stack.name,
            "EventId": f"{when} {status}", "PhysicalResourceId": stack.id, "Timestamp": when,
            "ResourceType": "AWS::CloudFormation::Stack", "ResourceStatus": status,
        } for when, status in stack.events]}  # fmt: skip


def read_template(text):
    try:
        return json.loads(text)
    except ValueError:
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            file.write(text)
            file.flush()
            try:
                return sam.read(file.name)
            except subprocess.CalledProcessError as error:
                raise Problem(f"Template format error: {error.stderr}") from None


def check_parameter(name, value, declared):
    allowed = [str(one) for one in declared.get("AllowedValues", [value])]
    pattern = declared.get("AllowedPattern", "(?s).*")
    if value not in allowed or not re.fullmatch(pattern, value):
        raise Problem(f"Parameter '{name}' must be one of {allowed} and match {pattern}")
    if float(value if declared["Type"] == "Number" else 0) > declared.get("MaxValue", 1e9):
        raise Problem(f"Parameter '{name}' must be at most {declared['MaxValue']}")
    if len(value) < int(declared.get("MinLength", 0)):
        raise Problem(
            f"Parameter '{name}' must contain at least {declared['MinLength']} characters"
        )


def unchunked(headers, body):
    """What an SDK sends in chunks with a checksum behind them."""
    if "aws-chunked" not in headers.get("Content-Encoding", ""):
        return body
    data, at = b"", 0
    while True:
        end = body.index(b"\r\n", at)
        size = int(body[at:end].split(b";")[0], 16)
        if size == 0:
            return data
        data += body[end + 2 : end + 2 + size]
        at = end + 2 + size + 2
