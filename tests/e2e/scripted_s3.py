# SPDX-License-Identifier: Apache-2.0
"""An S3 store in memory that says what a test wants it to say, for what no real server can be
brought to do. It checks no signatures: that is what the real ones are for.

    store.say("CompleteMultipartUpload", Answer(200, error("InternalError")), times=2)
    egress("fetch", "--to", store.to, ..., s3=store)
    assert store.objects["k"].body == ...
"""

import hashlib
import http.server
import re
import threading
import time
import urllib.parse
from collections import defaultdict, deque
from datetime import datetime, timezone
from email.utils import formatdate

HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'


def error(code, message="scripted", more=""):
    return f"{HEAD}<Error><Code>{code}</Code><Message>{message}</Message>{more}</Error>"


class Answer:
    """instead=False: the store does what it was asked first, then says this."""

    def __init__(self, status, body="", headers=None, instead=True, pieces=None):
        self.status = status
        self.body = body.encode() if isinstance(body, str) else body
        self.headers = headers or {}
        self.instead = instead
        self.pieces = pieces  # iterable of bytes, sent in chunks, in place of the body


class Object:
    def __init__(self, body, headers):
        self.body = body
        self.headers = headers
        self.etag = f'"{hashlib.md5(body).hexdigest()}"'


class ScriptedS3:
    region = "us-east-1"
    bucket_name = "scripted"

    def __init__(self):
        self.objects, self.uploads = {}, {}
        self.calls = []  # (name, key, headers), in order
        self.scripts = defaultdict(deque)
        self.lock = threading.Lock()
        self.clock_offset_s = 0
        self.bucket_region = None  # refuses signatures for any other
        self.virtual = False  # the bucket is in the host's name, not in the path
        # What stores lack.
        self.takes_checksums = True  # False: as Backblaze B2
        self.conditions = "kept"  # or "ignored", or "refused": as AWS did until 2024
        self.equal_parts = False  # True: as Cloudflare R2
        self.parts_max = 10000
        store = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self):
                try:
                    super().handle_one_request()
                except ConnectionError:
                    self.close_connection = True

            def serve(self):
                store.serve(self)

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = serve

            def date_time_string(self, timestamp=None):
                return formatdate(time.time() + store.clock_offset_s, usegmt=True)

            def log_message(self, *args):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request, address):
                pass  # a client that is gone

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(
            target=self.server.serve_forever, args=(0.01,), daemon=True
        ).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    # ---- for tests -------------------------------------------------------------------------

    @property
    def to(self):
        return f"s3://{self.bucket_name}"

    @property
    def env(self):
        return {
            "AWS_ACCESS_KEY_ID": "EGRESSTEST",
            "AWS_SECRET_ACCESS_KEY": "the-secret-of-the-scripted-store",
            "AWS_REGION": self.region,
        }

    def say(self, call, *answers, times=1):
        """Once each, in turn, before the call is served normally again; a function gives its
        answer when it is due. Those that are about receipts are GetReceipt and so on."""
        self.scripts[call].extend(answers * times)

    def count(self, call):
        return sum(1 for name, _, _ in self.calls if name == call)

    # ---- serving ---------------------------------------------------------------------------

    @staticmethod
    def name_of(method, key, query):
        if not key:
            return "ListMultipartUploads" if "uploads" in query else "ListObjectsV2"
        if "partNumber" in query:
            return "UploadPart"
        if "uploads" in query:
            return "CreateMultipartUpload"
        if "uploadId" in query:
            return {"POST": "CompleteMultipartUpload", "DELETE": "AbortMultipartUpload"}.get(
                method, "ListParts"
            )
        return {"PUT": "PutObject", "HEAD": "HeadObject", "DELETE": "DeleteObject"}.get(
            method, "GetObject"
        )

    def serve(self, handler):
        parts = urllib.parse.urlsplit(handler.path)
        query = dict(urllib.parse.parse_qsl(parts.query, keep_blank_values=True))
        path = urllib.parse.unquote(parts.path).lstrip("/")
        key = path if self.virtual else path.partition("/")[2]
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        name = self.name_of(handler.command, key, query)
        with self.lock:
            self.calls.append((name, key, dict(handler.headers)))
            script = self.scripts[name.replace("Object", "Receipt") if ".egress/" in key else name]
            said = script.popleft() if script else None
            said = said() if callable(said) else said
            answer = self.check(handler) or self.lacks(handler, query)
            if answer is None and (said is None or not said.instead):
                answer = getattr(self, name)(key, query, handler.headers, body)
            if said is not None:
                answer = said
        self.send(handler, answer)

    @staticmethod
    def send(handler, answer):
        handler.send_response(answer.status)
        for header, value in answer.headers.items():
            handler.send_header(header, value)
        if answer.pieces is not None:
            handler.send_header("Transfer-Encoding", "chunked")
            handler.end_headers()
            for piece in answer.pieces:
                handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            handler.wfile.write(b"0\r\n\r\n")
            return
        if answer.status != 204 and "Content-Length" not in answer.headers:
            handler.send_header("Content-Length", str(len(answer.body)))
        if answer.body and "Content-Type" not in answer.headers:
            handler.send_header("Content-Type", "application/xml")
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(answer.body)

    def check(self, handler):
        """As S3 does it before anything else: the time and the region of the signature."""
        signed = datetime.strptime(handler.headers["x-amz-date"], "%Y%m%dT%H%M%SZ")
        off = signed.replace(tzinfo=timezone.utc).timestamp() - time.time() - self.clock_offset_s
        if abs(off) > 15 * 60:
            return Answer(403, error("RequestTimeTooSkewed"))
        region = re.search(r"Credential=[^/]+/\d+/([^/]+)/", handler.headers["Authorization"])[1]
        if self.bucket_region and region != self.bucket_region:
            more = f"<Region>{self.bucket_region}</Region>"
            headers = {"x-amz-bucket-region": self.bucket_region}
            return Answer(301, error("PermanentRedirect", more=more), headers)
        return None

    def lacks(self, handler, query):
        for name in handler.headers:
            name = name.lower()
            if name.startswith("x-amz-checksum-") and not self.takes_checksums:
                message = f"Unsupported header '{name}' received for this API call."
                return Answer(400, error("InvalidArgument", message))
            if name in ("if-match", "if-none-match") and self.conditions == "refused":
                more = f"<Header>{name}</Header>"
                return Answer(501, error("NotImplemented", "not implemented", more))
        if int(query.get("partNumber", 1)) > self.parts_max:
            message = f"Part number must be an integer between 1 and {self.parts_max}, inclusive"
            return Answer(400, error("InvalidArgument", message))
        return None

    # ---- what is asked, one by one ---------------------------------------------------------

    def kept(self, headers):
        return {
            name: value
            for name, value in headers.items()
            if name.lower().startswith("x-amz-meta-") or name.lower() == "content-type"
        }

    def store(self, key, body, headers, condition):
        old = self.objects.get(key)
        if self.conditions == "ignored":
            condition = {}
        if condition.get("If-None-Match") == "*" and old:
            return Answer(412, error("PreconditionFailed"))
        if condition.get("If-Match") and (not old or condition["If-Match"] != old.etag):
            return Answer(412, error("PreconditionFailed"))
        self.objects[key] = Object(body, headers)
        return None

    def PutObject(self, key, query, headers, body):
        refused = self.store(key, body, self.kept(headers), headers)
        return refused or Answer(200, headers={"ETag": self.objects[key].etag})

    def HeadObject(self, key, query, headers, body):
        found = self.objects.get(key)
        if not found:
            return Answer(404)
        length = {"Content-Length": str(len(found.body)), "ETag": found.etag}
        return Answer(200, headers={**found.headers, **length})

    def GetObject(self, key, query, headers, body):
        found = self.objects.get(key)
        if not found:
            return Answer(404, error("NoSuchKey"))
        return Answer(200, found.body, {**found.headers, "ETag": found.etag})

    def DeleteObject(self, key, query, headers, body):
        self.objects.pop(key, None)
        return Answer(204)

    def CreateMultipartUpload(self, key, query, headers, body):
        upload = f"upload-{len(self.calls)}"
        self.uploads[upload] = (key, self.kept(headers), {})
        inside = f"<Bucket>{self.bucket_name}</Bucket><UploadId>{upload}</UploadId>"
        result = "InitiateMultipartUploadResult"
        return Answer(200, f"{HEAD}<{result}>{inside}</{result}>")

    def UploadPart(self, key, query, headers, body):
        if query["uploadId"] not in self.uploads:
            return Answer(404, error("NoSuchUpload"))
        self.uploads[query["uploadId"]][2][int(query["partNumber"])] = body
        return Answer(200, headers={"ETag": f'"{hashlib.md5(body).hexdigest()}"'})

    def CompleteMultipartUpload(self, key, query, headers, body):
        if query["uploadId"] not in self.uploads:
            return Answer(404, error("NoSuchUpload"))
        _, kept, parts = self.uploads[query["uploadId"]]
        numbers = [int(n) for n in re.findall(rb"<PartNumber>(\d+)</PartNumber>", body)]
        sizes = [len(parts[n]) for n in numbers]
        if self.equal_parts and (len(set(sizes[:-1])) > 1 or sizes[-1] > sizes[0]):
            message = "All non-trailing parts must have the same length."
            return Answer(400, error("InvalidPart", message))
        refused = self.store(key, b"".join(parts[n] for n in numbers), kept, headers)
        if refused:
            return refused
        self.objects[key].part_sizes = sizes
        del self.uploads[query["uploadId"]]
        return self.completed(self.objects[key].etag)

    @staticmethod
    def completed(etag):
        result = "CompleteMultipartUploadResult"
        return Answer(200, f"{HEAD}<{result}><ETag>{etag}</ETag></{result}>")

    def AbortMultipartUpload(self, key, query, headers, body):
        if self.uploads.pop(query["uploadId"], None) is None:
            return Answer(404, error("NoSuchUpload"))
        return Answer(204)

    def ListParts(self, key, query, headers, body):
        return Answer(404, error("NoSuchUpload"))

    def ListMultipartUploads(self, key, query, headers, body):
        result = "ListMultipartUploadsResult"
        return Answer(200, f"{HEAD}<{result}><IsTruncated>false</IsTruncated></{result}>")

    def ListObjectsV2(self, key, query, headers, body):
        prefix = query.get("prefix", "")
        found = sorted(key for key in self.objects if key.startswith(prefix))
        inside = "".join(
            f"<Contents><Key>{urllib.parse.quote(key)}</Key></Contents>" for key in found
        )
        result = "ListBucketResult"
        return Answer(
            200, f"{HEAD}<{result}><EncodingType>url</EncodingType>{inside}"
            f"<IsTruncated>false</IsTruncated></{result}>"
        )  # fmt: skip
