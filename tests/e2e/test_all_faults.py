# SPDX-License-Identifier: Apache-2.0
"""A thousand jobs while everything goes wrong: each fault of the Platform (egress-sim) on each of
its routes, and each fault of the network and the store (faultproxy), 5 % of the requests each. What
is stored is right, what is refused is refused for a reason that is true, nothing else is to be
seen; the next run, without faults, does the rest.

What hits which request follows from the seed (in the test's name) and the request's number; which
of many requests at once has which number does not.
"""

import concurrent.futures
import hashlib
import random
import re

import pytest

from stores import Bucket, directory  # noqa: F401 (fixture)
from watch import Watch

MIB = 1 << 20
PLATFORM_FAULTS = [
    "latency=50ms", "status=500", "html", "broken_json", "garbage",
    "headers=100K", "redirect=loop", "drop", "reset", "truncate", "stall=2s", "slow=4M",
    "changed", "expire=now",
]  # fmt: skip
# 5 % of these alone would bring what runs at a time down to one or two: less of them.
PLATFORM_BUSY = "*:status=503,1@0.5"
STORE_BUSY = "answer,status=503,code=SlowDown,probability=0.005"

# Nothing but its size tells an endless output from a large one: where the destination sets no limit
# to that there is none. Into S3 24 MiB is the most that there may be.
ENDLESS_JSON = [f"{route}:endless@5" for route in
                ("GET /v1/jobs/{id}", "POST /v1/jobs/batch", "GET /v1/jobs/{id}/output-url")]
FLAGS = ["--memory", "16MiB", "--max-parts", "3", "--concurrency", "64"]
STORE_FAULTS = [
    "cut-connection,bytes=4M", "cut-request", "cut-answer", "truncate",
    "answer,status=500,code=InternalError", "lose-answer", "delay,ms=50", "throttle,bytes=8M",
    "stall,ms=2000",
]  # fmt: skip

# What is not known about the Platform, one way and another.
SHAPES = {
    "plain": ["framing=length", "x_goog_hash=both", "content_md5=yes", "absent_dates=absent"],
    "odd": [
        "framing=chunked", "booleans=number", "batch_success=no", "error_body=html",
        "retry_after=date", "output=redirect", "signed_host=localhost", "x_goog_hash=lines",
        "digest=sha-256", "content_disposition=auto",
    ],
}  # fmt: skip

# What a job is -> the reason of its own for which it is refused. None: there is none.
REASONS = {
    "COMPLETE": None,
    "FAILED": "failed",
    "EXPIRED": "expired",
    "STUCK": "pending",
    "NO_OUTPUT": "no_output",
    "UNKNOWN": "unknown_job",
}
OF_FAULTS = {"network", "timeout", "http", "protocol", "integrity"}
CHANGES_MAX = 6  # of one output


def sha256(data):
    return hashlib.sha256(data).hexdigest()


class Jobs:
    """1,000 of them, of all kinds and sizes, in one simulator with faults and one without."""

    def __init__(self, sim, folder, seed, shape, more):
        draw = random.Random(seed)
        sizes = [0, 1, 65_535, 65_536, 5 * MIB, 8 * MIB, 8 * MIB + 1, 16 * MIB, 20_000_000]
        sizes += [draw.randint(9_000_000, 20_000_000) for _ in range(21)]
        for i, size in enumerate(sizes):
            (folder / f"file-{i}").mkdir(parents=True)
            (folder / f"file-{i}" / "labels.json").write_bytes(draw.randbytes(size))
        self.log = ""  # of all runs
        self.unknown = [f"nobody-has-{i}" for i in range(10)]
        options = ["--seed", seed, "--jobs", folder, "--size", "0..65536"]
        options += [word for switch in SHAPES[shape] for word in ("--set", switch)]
        options += ["--generate", 1000 - len(sizes) - len(self.unknown) - 4 * 10]
        for kind in ("FAILED", "EXPIRED", "STUCK", "NO_OUTPUT"):
            options += ["--generate", f"10:{kind}"]
        self.faults = [*(f"*:{kind}@5" for kind in PLATFORM_FAULTS), PLATFORM_BUSY, *more]
        self.clean = sim(*options)
        self.faulty = sim(*options, *(word for fault in self.faults for word in ("--fault", fault)))
        self.ids = self.unknown + self.clean.ids()
        draw.shuffle(self.ids)
        self.kinds = dict.fromkeys(self.unknown, "UNKNOWN")
        self.digests = {}  # of each output
        for job in self.clean.jobs():
            self._look(job)
        assert len(self.ids) == len(self.kinds) == 1000

    def _look(self, job):
        answer = self.clean.get(f"/jobs/{job['id']}/output")
        kind = {"RUNNING": "STUCK", "FAILED": "FAILED"}.get(job["state"], "COMPLETE")
        if answer.ok:
            self.digests[job["id"]] = sha256(answer.content)
        elif kind == "COMPLETE":
            kind = "EXPIRED" if job["expired"] else "NO_OUTPUT"
        self.kinds[job["id"]] = kind

    def is_output(self, job, data):
        """Of any moment: outputs change, too."""
        digest = sha256(data)
        return digest == self.digests[job] or any(
            digest == self.faulty.digest(job, version=n) for n in range(1, CHANGES_MAX)
        )


def tell_apart(jobs, result):
    """What a run says of each job, after checking that it says it of each and says why: job ->
    "stored", "already stored", or the error."""
    told = {line["job"]: line for line in result.jsonl if "job" in line}
    assert sorted(told) == sorted(jobs.ids)
    for job, line in told.items():
        own = REASONS[jobs.kinds[job]]
        if line["status"] != "failed":
            assert jobs.kinds[job] == "COMPLETE", line
        elif line["error"] == "too_large":  # an endless one
            assert jobs.kinds[job] in ("COMPLETE", "NO_OUTPUT"), line
            assert "24.0 MiB" in line["message"], line
        elif line["error"] != own:
            assert line["error"] in OF_FAULTS and line["retryable"], line
    return {job: line.get("error", line["status"]) for job, line in told.items()}


def check_store(jobs, store, said):
    """Whole outputs and their receipts, and nothing else."""
    objects = store.objects()
    stored = {job for job, what in said.items() if what in ("stored", "already stored")}
    by_job = {key.partition("/")[0]: key for key in objects}
    assert all(key == f"{job}/labels.json" for job, key in by_job.items())
    assert stored <= by_job.keys() <= jobs.digests.keys()
    for job, key in by_job.items():
        assert jobs.is_output(job, objects[key]), (job, len(objects[key]), said[job])
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        receipts = dict(zip(store.receipts(), pool.map(store.receipt, store.receipts())))
    written = {job for job, receipt in receipts.items() if receipt["state"] == "stored"}
    assert stored <= written <= by_job.keys()
    for job in written:
        (output,) = receipts[job]["outputs"]
        assert output["size"] == len(objects[by_job[job]])


def run(egress, jobs, store, sim, s3, *flags):
    args = ["fetch", "--json", "--to", store.to, *FLAGS, *flags, "-"]
    watch = Watch(egress.start(*args, sim=sim, s3=s3, input="\n".join(jobs.ids)))
    result = watch.wait(250)
    watch.assert_memory(16 + 64)  # a MiB of buffers of libcurl for each transfer under way
    said = tell_apart(jobs, result)
    assert result.returncode == 1, result  # at least the jobs that still run are for another time
    check_store(jobs, store, said)
    jobs.log += result.stderr
    for key in store.open_keys():  # undoing it failed, too: no wonder, but it has to be said
        assert re.search(f"{key}: an( unfinished)? upload may be left there", jobs.log), key
    egress("verify", "--to", store.to, s3=store.s3, timeout=100).ok()
    return said


def run_both(egress, jobs, store, s3=None):
    said = run(egress, jobs, store, jobs.faulty, s3, "--read-timeout", "1s")
    assert 50 < sum(what == "stored" for what in said.values()) < 900
    happened = jobs.faulty.stats()["faults"].values()
    assert {kind for route in happened for kind in route} == {
        re.search(r":(\w+)", fault)[1] for fault in jobs.faults
    }
    said = run(egress, jobs, store, jobs.clean, store.s3)
    for job, kind in jobs.kinds.items():
        fine = ["stored", "already stored"] if kind == "COMPLETE" else [REASONS[kind]]
        assert said[job] in fine
    assert len(store.objects()) == len(store.receipts()) == len(jobs.digests)
    egress("sweep", "--to", store.to, "--older-than", "0s", s3=store.s3).ok()
    store.assert_nothing_open()


@pytest.mark.timeout(400)
@pytest.mark.parametrize("shape, seed", [("plain", 1), ("odd", 2)])
def test_into_s3(egress, sim, ceph, faultproxy, tmp_path, shape, seed):
    jobs = Jobs(sim, tmp_path / "jobs", seed, shape, ["*:endless@5"])
    store = Bucket(ceph)
    rules = [*(f"{fault},probability=0.05" for fault in STORE_FAULTS), STORE_BUSY]
    proxy = faultproxy(ceph.url, *rules, seed=seed)
    run_both(egress, jobs, store, proxy.before(ceph))
    assert all(proxy.stats()["faults"][fault.partition(",")[0]] for fault in STORE_FAULTS)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("shape, seed", [("plain", 3), ("odd", 4)])
def test_into_a_directory(egress, sim, directory, tmp_path, shape, seed):
    jobs = Jobs(sim, tmp_path / "jobs", seed, shape, ENDLESS_JSON)
    run_both(egress, jobs, directory)
