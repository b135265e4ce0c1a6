# SPDX-License-Identifier: Apache-2.0
"""The SAM command line, and template.yaml as CloudFormation would read it."""

import json
import os
import subprocess

import programs

BIN = programs.ROOT / "build" / "tools" / "sam-venv" / "bin"
TEMPLATE = programs.ROOT / "template.yaml"
PREBUILT = programs.ROOT / "build" / "lambda"
READ = (
    "import json, sys; from samcli.yamlhelper import yaml_parse;"
    "json.dump(yaml_parse(open(sys.argv[1]).read()), sys.stdout)"
)


def env(home, **more):
    """Of a user who has nothing set but what is given here."""
    path = f"{BIN}:{os.environ['PATH']}"
    keys = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "an/example+secret"}
    sam = {"SAM_CLI_TELEMETRY": "0", "SAM_CLI_POLL_DELAY": "0.2"}
    quiet = {"AWS_EC2_METADATA_DISABLED": "true", "LC_ALL": "C.UTF-8"}
    named = {"HOME": str(home), "PATH": path, "AWS_DEFAULT_REGION": "us-east-1"}
    merged = {**named, **keys, **sam, **quiet, **more}
    return {name: str(value) for name, value in merged.items()}


def run(*command, home, cwd=programs.ROOT, status=0, **more):
    """A program of sam's; its output, both streams together."""
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=env(home, **more), text=True, timeout=200,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert done.returncode == status, f"{command}\n-> {done.returncode}\n{done.stdout}"
    return done.stdout


def read(path=TEMPLATE):
    """A template, its intrinsic functions in their long form."""
    done = subprocess.run([BIN / "python", "-c", READ, path], capture_output=True, check=True)
    return json.loads(done.stdout)


class Resolved:
    """What a template's functions come to. `refs`: what Ref of a resource is, `attributes`: what
    GetAtt gives, by "Resource.Name"; parameters that are not given have their defaults."""

    def __init__(self, template, parameters, refs, attributes):
        self.template = template
        defaults = {
            name: parameter["Default"]
            for name, parameter in template["Parameters"].items()
            if "Default" in parameter
        }
        self.refs = {
            "AWS::Partition": "aws",
            "AWS::NoValue": None,
            **defaults,
            **parameters,
            **refs,
        }
        self.attributes = attributes

    def resource(self, name):
        return self.resolve(self.template["Resources"][name]["Properties"])

    def resolve(self, node):
        if isinstance(node, list):
            return [value for value in map(self.resolve, node) if value is not None]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            name, value = next(iter(node.items()))
            if function := getattr(self, "do_" + name.replace("Fn::", ""), None):
                return function(value)
        return {key: self.resolve(value) for key, value in node.items()}

    def do_Ref(self, name):
        return self.refs[name]

    def do_GetAtt(self, path):
        return self.attributes[path if isinstance(path, str) else ".".join(path)]

    def do_Sub(self, given):
        text, more = given if isinstance(given, list) else (given, {})
        for name, value in {**self.refs, **self.resolve(more)}.items():
            text = text.replace("${" + name + "}", str(value))
        assert "${" not in text, text
        return text

    def do_Equals(self, sides):
        return self.resolve(sides[0]) == self.resolve(sides[1])

    def do_Not(self, conditions):
        return not self.resolve(conditions[0])

    def do_If(self, arguments):
        condition, yes, no = arguments
        return self.resolve(yes if self.resolve(self.template["Conditions"][condition]) else no)

    def do_FindInMap(self, arguments):
        name, first, second = (self.resolve(argument) for argument in arguments)
        return self.template["Mappings"][name][str(first)][second]

    def do_Select(self, arguments):
        return self.resolve(arguments[1])[arguments[0]]

    def do_Split(self, arguments):
        return self.resolve(arguments[1]).split(arguments[0])
