# SPDX-License-Identifier: Apache-2.0
"""peer_crt URL ENDPOINT default|tuned: the AWS Common Runtime, as fast as its Python binding lets it
be: its S3 client reads the answer to a GET straight from the socket into its own part buffers.

tuned: one event loop, two connections, as many bytes in memory as it allows at least."""

import http.client
import io as python_io
import os
import sys
import threading
import urllib.parse

from awscrt import auth, io, s3
from awscrt.http import HttpHeaders, HttpRequest

MIB = 1 << 20


class Body(python_io.RawIOBase):
    """What is left of an answer, read without a buffer of Python's."""

    def __init__(self, url):
        super().__init__()
        parts = urllib.parse.urlsplit(url)
        self.connection = http.client.HTTPConnection(parts.netloc)
        self.connection.request("GET", parts.path)
        self.answer = self.connection.getresponse()
        if self.answer.status != 200:
            sys.exit(f"GET answered {self.answer.status}")
        self.size = self.answer.length

    def readable(self):
        return True

    def readinto(self, buffer):
        return self.answer.readinto(buffer)


def client(endpoint, tuned):
    loops = io.EventLoopGroup(1) if tuned else io.EventLoopGroup()
    bootstrap = io.ClientBootstrap(loops, io.DefaultHostResolver(loops))
    options = {}
    if endpoint.scheme == "https":
        context = io.TlsContextOptions()
        context.override_default_trust_store_from_path(None, os.environ["AWS_CA_BUNDLE"])
        options["tls_connection_options"] = io.ClientTlsContext(context).new_connection_options()
        options["tls_mode"] = s3.S3RequestTlsMode.ENABLED
    else:
        options["tls_mode"] = s3.S3RequestTlsMode.DISABLED
    if tuned:
        options.update(max_active_connections_override=2, part_size=8 * MIB,
                       memory_limit=1024 * MIB, throughput_target_gbps=1)
    keys = auth.AwsCredentialsProvider.new_static(
        os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"])
    signing = s3.create_default_s3_signing_config(region="us-east-1", credential_provider=keys)
    signing = signing.replace(signed_body_value=auth.AwsSignedBodyValue.UNSIGNED_PAYLOAD)
    return s3.S3Client(bootstrap=bootstrap, region="us-east-1", signing_config=signing, **options)


def main():
    url, endpoint = sys.argv[1], urllib.parse.urlsplit(sys.argv[2])
    body = Body(url)
    headers = HttpHeaders([("Host", endpoint.netloc), ("Content-Length", str(body.size)),
                           ("Content-Type", "application/octet-stream")])
    failed, done = [], threading.Event()

    def on_done(error=None, **_):
        if error:
            failed.append(error)
        done.set()

    request = client(endpoint, sys.argv[3] == "tuned").make_request(
        type=s3.S3RequestType.PUT_OBJECT,
        request=HttpRequest("PUT", "/bench/crt", headers, body),
        checksum_config=s3.S3ChecksumConfig(algorithm=s3.S3ChecksumAlgorithm.CRC32C,
                                            location=s3.S3ChecksumLocation.TRAILER),
        on_done=on_done,
    )
    done.wait()
    del request
    if failed:
        sys.exit(f"AWS CRT: {failed[0]}")


main()
