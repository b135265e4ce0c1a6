# SPDX-License-Identifier: Apache-2.0
"""`egress worker` in transfers of several seconds, and with many messages."""

import hashlib
import os
import signal
import time

from stores import bucket, directory  # noqa: F401  fixtures
from test_worker import MIB, lines, start_slow, until_done, worker


def test_sigterm_hands_over(egress, sim, aws, bucket):  # noqa: F811
    s, queue, run = start_slow(egress, sim, aws, bucket.to, 48 * MIB, "--drain-timeout", "4s",
                               s3=bucket.s3, rate="10M")  # fmt: skip
    run.send_signal(signal.SIGTERM)
    r = run.wait().ok()
    (line,) = lines(r)
    assert line["outcome"] == "handed over" and line["bytes"] > 0, r
    assert queue.counts() == (1, 0)
    handed, before = line["bytes"], s.stats()["output_bytes"]
    r = worker(egress, queue, bucket.to, aws=aws, sim=s, s3=bucket.s3).ok()
    (line,) = lines(r)
    assert line["outcome"] == "stored" and line["resumed_bytes"] >= handed
    assert s.stats()["output_bytes"] - before == 48 * MIB - line["resumed_bytes"]
    ((_, data),) = bucket.objects().items()
    assert hashlib.sha256(data).hexdigest() == s.digest(*s.ids())
    assert queue.counts() == (0, 0)


def test_killed_and_taken_up_by_another(egress, sim, aws, bucket):  # noqa: F811
    s, queue, run = start_slow(egress, sim, aws, bucket.to, 48 * MIB, "--visibility-timeout", "2s",
                               s3=bucket.s3, rate="10M")  # fmt: skip
    while s.stats()["output_bytes"] < 32 * MIB:
        time.sleep(0.05)
    run.send_signal(signal.SIGKILL)
    run.wait()
    run = worker(egress, queue, bucket.to, aws=aws, sim=s, s3=bucket.s3, run=egress.start)
    run.wait_for('"outcome":"stored"')
    run.send_signal(signal.SIGTERM)
    (line,) = lines(run.wait().ok())
    # moto may give it to the dead worker's long poll once more.
    assert line["receives"] >= 2 and line["resumed_bytes"] > 0
    ((_, data),) = bucket.objects().items()
    assert hashlib.sha256(data).hexdigest() == s.digest(*s.ids())
    assert queue.counts() == (0, 0)


def test_kept_hidden_while_under_way(egress, sim, aws, directory):  # noqa: F811
    s, queue, run = start_slow(egress, sim, aws, directory.to, 30 * MIB, "--visibility-timeout",
                               "2s")  # fmt: skip
    began = time.monotonic()
    while '"outcome"' not in run.text("stderr"):
        got = queue.client.receive_message(QueueUrl=queue.url)
        assert "Messages" not in got, f"delivered twice after {time.monotonic() - began} s"
        time.sleep(0.1)
    assert time.monotonic() - began > 4  # twice as long as it would be hidden
    run.send_signal(signal.SIGTERM)
    (line,) = lines(run.wait().ok())
    assert (line["outcome"], line["receives"]) == ("stored", 1)
    assert queue.counts() == (0, 0)


def resources(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        rss = next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))
    return rss, len(os.listdir(f"/proc/{pid}/fd"))


def test_many_messages_take_no_more_memory(egress, sim, aws, directory):  # noqa: F811
    s = sim("--generate", 1000, "--size", 100)
    queue = aws.queue()
    jobs = s.ids()
    run = worker(egress, queue, directory.to, "--visibility-timeout", "5s", aws=aws, sim=s,
                 run=egress.start)  # fmt: skip
    seen = {}
    for n in range(100, 1001, 100):  # in portions: moto is slow when many wait
        queue.send(*jobs[n - 100 : n])
        while run.text("stderr").count('"outcome":"stored"') < n:
            assert run.process.poll() is None, run.result()
            time.sleep(0.05)
        seen[n] = resources(run.pid)
    until_done(queue, run)
    (rss, fds), (rss_after, fds_after) = seen[300], seen[1000]
    assert fds_after <= fds + 10 and fds_after < 100
    assert rss_after < rss + 2048  # KiB
