# SPDX-License-Identifier: Apache-2.0
"""The two kinds of destinations under one face, for tests that hold for both; and a proxy that
counts what is asked of the S3 server.

    from stores import store  # the fixture: such a test runs once for each kind

    def test_fetch(egress, sim, store):
        egress("fetch", "--to", store.to, *s.ids(), sim=s, s3=store.s3).ok()
        assert store.objects() == {...}
"""

import concurrent.futures
import json
import re
import socket
import threading
import urllib.parse

import pytest


def receipt_key(job):
    return f".egress/voxel51/{job}.json"


class Store:
    """What both have in common; `keys()` of a kind lists all that is there, ours too."""

    def object_keys(self):
        return [key for key in self.keys() if not key.startswith(".egress/")]

    def objects(self):
        keys = self.object_keys()
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            return dict(zip(keys, pool.map(self.get, keys)))

    def receipts(self):
        """Of which jobs there is one."""
        found = [re.fullmatch(r"\.egress/voxel51/(.*)\.json", key) for key in self.keys()]
        return sorted(match.group(1) for match in found if match)

    def receipt(self, job):
        return json.loads(self.get(receipt_key(job)))

    def delete_receipt(self, job):
        self.delete(receipt_key(job))

    def put_receipt(self, job, data):
        self.put(receipt_key(job), data)

    def assert_nothing_open(self):
        assert self.open_keys() == [], self.open_keys()

    def assert_empty(self):
        """Neither an object nor a receipt nor anything half-done."""
        assert self.object_keys() == [] and self.receipts() == []
        self.assert_nothing_open()


class Directory(Store):
    kind = "directory"
    s3 = None

    def __init__(self, path):
        self.root = path
        self.to = str(path)

    def keys(self):
        """Of everything that is there, receipts and temporary files too."""
        if not self.root.exists():
            return []
        paths = [path for path in self.root.rglob("*") if not path.is_dir()]
        return sorted(str(path.relative_to(self.root)) for path in paths)

    def get(self, key):
        return (self.root / key).read_bytes()

    def put(self, key, data):
        (self.root / key).parent.mkdir(parents=True, exist_ok=True)
        (self.root / key).write_bytes(data)

    def delete(self, key):
        (self.root / key).unlink()

    def location(self, key):
        return str(self.root / key)

    def open_keys(self):
        return [key for key in self.keys() if key.startswith(".egress/tmp/")]


class Bucket(Store):
    kind = "s3"
    prefix = "some/prefix/"

    def __init__(self, ceph):
        self.s3 = ceph
        self.client = ceph.client()
        self.bucket = ceph.bucket()
        self.to = f"s3://{self.bucket}/{self.prefix}"

    def keys(self):
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
        found = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
        assert all(key.startswith(self.prefix) for key in found)
        return sorted(key[len(self.prefix) :] for key in found)

    def get(self, key):
        return self.client.get_object(Bucket=self.bucket, Key=self.prefix + key)["Body"].read()

    def put(self, key, data):
        """As its owner would who knows nothing of egress, but for what is said about it."""
        kept = {}
        if key in self.keys():
            kept = {"Metadata": self.head(key)["Metadata"]}
        self.client.put_object(Bucket=self.bucket, Key=self.prefix + key, Body=data, **kept)

    def head(self, key):
        return self.client.head_object(Bucket=self.bucket, Key=self.prefix + key)

    def delete(self, key):
        self.client.delete_object(Bucket=self.bucket, Key=self.prefix + key)

    def location(self, key):
        return f"{self.to}{key}"

    def open_keys(self):
        uploads = self.client.list_multipart_uploads(Bucket=self.bucket).get("Uploads", [])
        return [upload["Key"].removeprefix(self.prefix) for upload in uploads]


@pytest.fixture
def directory(tmp_path):
    return Directory(tmp_path / "out")


@pytest.fixture
def bucket(ceph):
    return Bucket(ceph)


@pytest.fixture(params=["directory", "s3"])
def store(request):
    return request.getfixturevalue("directory" if request.param == "directory" else "bucket")


class CountingProxy:
    """Passes connections on as they are (signatures cover the Host header, and hold) and keeps
    what came from the client. hold(): no answer comes through until release(), at once or from
    the first request of a method on."""

    def __init__(self, url):
        self.target = urllib.parse.urlsplit(url)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.streams = []
        self.flowing = threading.Event()
        self.flowing.set()
        self.hold_at = None
        self.threads = [threading.Thread(target=self._accept, daemon=True)]
        self.threads[0].start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection((self.target.hostname, self.target.port))
            kept = bytearray()
            self.streams.append(kept)
            for source, to, keep in ((client, server, kept), (server, client, None)):
                thread = threading.Thread(target=self._pump, args=(source, to, keep), daemon=True)
                self.threads.append(thread)
                thread.start()

    def _pump(self, source, to, keep):
        try:
            while chunk := source.recv(65536):
                if keep is not None:
                    if self.hold_at and chunk.startswith(self.hold_at):
                        self.flowing.clear()
                    keep += chunk
                else:
                    self.flowing.wait()
                to.sendall(chunk)
            to.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def hold(self, method=None):
        if method:
            self.hold_at = f"{method} ".encode()
        else:
            self.flowing.clear()

    def release(self):
        self.hold_at = None
        self.flowing.set()

    def requests(self):
        """METHOD PATH of each, in no order."""
        pattern = re.compile(rb"((?:GET|HEAD|PUT|POST|DELETE) /\S*) HTTP/1\.1\r\n")
        return [m.decode() for kept in self.streams for m in pattern.findall(bytes(kept))]

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.release()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
