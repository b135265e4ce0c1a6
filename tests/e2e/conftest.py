# SPDX-License-Identifier: Apache-2.0
"""The fixtures of the end-to-end tests; README.md beside it shows how to use them."""

import os
import shutil

import pytest

import programs
from aws import Aws
from ceph import Ceph
from daemon import Daemon
from faultproxy import FaultProxy
from lambda_runtime import Function
from rie import Emulator
from versitygw import VersityGW


def pytest_configure(config):
    for program in (programs.EGRESS, programs.BOOTSTRAP, programs.SIM):
        if not os.access(program, os.X_OK):
            raise pytest.UsageError(f"{program} is not there; run `make`")


@pytest.fixture
def egress(request, tmp_path):
    """Runs build/egress (EGRESS_BIN) in a clean environment."""
    runner = programs.Egress(tmp_path)
    request.node.programs = getattr(request.node, "programs", []) + [runner]
    yield runner
    runner.finish()


@pytest.fixture
def sim(request, tmp_path_factory):
    """sim("--generate", "3", "--size", "4096") starts a simulator; ended with the test."""
    home = tmp_path_factory.mktemp("sim")
    sims = []
    request.node.programs = getattr(request.node, "programs", []) + [sims]

    def start(*args):
        sims.append(programs.Sim(*args, home=home))
        return sims[-1]

    yield start
    for one in sims:
        one.finish()


@pytest.fixture(scope="session")
def ceph(request):
    """One Ceph object gateway for the whole session."""
    gateway = Ceph()
    gateway.start()
    yield gateway
    if request.session.testsfailed:
        where = programs.ROOT / "build" / "e2e-logs" / "ceph"
        shutil.rmtree(where, ignore_errors=True)
        gateway.keep_logs(where)
        print(f"logs of Ceph's gateway: {where}")
    gateway.stop()


@pytest.fixture(scope="session")
def versitygw():
    """One versitygw for the whole session."""
    gateway = VersityGW().start()
    yield gateway
    gateway.stop()


@pytest.fixture(scope="session")
def aws(tmp_path_factory):
    """One moto server for the whole session: SQS, Secrets Manager, STS."""
    server = Aws().start(tmp_path_factory.mktemp("aws"))
    yield server
    server.stop()


def function_env(sim=None, s3=None, aws=None, queue=None, env=None):
    """What a function's environment says of these."""
    merged = {}
    if sim is not None:
        merged.update(sim.env)
    if aws is not None:
        merged.update(aws.env)
        merged["AWS_ENDPOINT_URL"] = aws.url
    if s3 is not None:
        merged.update(s3.env)
        merged["AWS_ENDPOINT_URL_S3"] = s3.url
    if queue is not None:
        merged["EGRESS_QUEUE"] = queue.url
    merged.update(env or {})
    return {name: str(value) for name, value in merged.items() if value is not None}


@pytest.fixture
def function(request, tmp_path_factory):
    """function(sim=s, s3=ceph, aws=aws, queue=q, env={...}) runs build/bootstrap (EGRESS_BOOTSTRAP)
    as Lambda does; .invoke(event)."""
    home = tmp_path_factory.mktemp("function")
    functions = []
    request.node.programs = getattr(request.node, "programs", []) + [functions]

    def start(**where):
        functions.append(Function(function_env(**where), home))
        return functions[-1]

    yield start
    for one in functions:
        one.finish()


@pytest.fixture
def serve(egress, tmp_path):
    """serve(to, *flags, sim=s, s3=ceph) starts `egress serve` on a journal of the test's."""

    def start(to, *flags, sim, s3=None, env=None, wait=True):
        return Daemon(egress, tmp_path, to, *flags, sim=sim, s3=s3, env=env).start(wait)

    return start


@pytest.fixture
def emulator(request, tmp_path_factory):
    """emulator(program, timeout_s=60, sim=s, ...) runs a build of bootstrap in AWS's Runtime
    Interface Emulator; the rest is as with `function`."""
    home = tmp_path_factory.mktemp("emulator")
    emulators = []
    request.node.programs = getattr(request.node, "programs", []) + [emulators]

    def start(program, timeout_s=60, **where):
        emulators.append(Emulator(program, timeout_s, function_env(**where), home))
        return emulators[-1]

    yield start
    for one in emulators:
        one.finish()


@pytest.fixture
def faultproxy(request, tmp_path_factory):
    """faultproxy(url, "cut-answer,probability=0.3", seed=1) stands before url."""
    home = tmp_path_factory.mktemp("faultproxy")
    proxies = []
    request.node.programs = getattr(request.node, "programs", []) + [proxies]

    def start(target_url, *rules, seed=0):
        proxies.append(FaultProxy(target_url, *rules, seed=seed, home=home))
        return proxies[-1]

    yield start
    for proxy in proxies:
        proxy.finish()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed test shows what its programs said."""
    report = (yield).get_result()
    if not report.failed:
        return
    for group in getattr(item, "programs", []):
        if isinstance(group, programs.Egress):
            runs = group.runs
        else:
            runs = [sim.run for sim in group]
        for run in runs:
            for stream in ("stdout", "stderr"):
                if text := run.text(stream):
                    title = f"{' '.join(run.args)[:100]} ({run.process.poll()}) {stream}"
                    report.sections.append((title, text[-6000:]))
