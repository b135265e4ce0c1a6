# SPDX-License-Identifier: Apache-2.0
"""What one would write instead: a webhook receiver with Flask that puts each job into SQLite, as
durable as egress: WAL, synchronous=FULL, one commit a request. gunicorn runs it; JOURNAL names the
file."""

import os
import re
import sqlite3
import threading
import time

from flask import Flask, jsonify, request

app = Flask(__name__)
JOB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
local = threading.local()


def database():
    if not hasattr(local, "db"):
        local.db = sqlite3.connect(os.environ["JOURNAL"], timeout=60, isolation_level=None)
        local.db.executescript(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
            "CREATE TABLE IF NOT EXISTS jobs (id TEXT PRIMARY KEY, received REAL);"
        )
    return local.db


@app.route("/job-complete", methods=["POST"])
def job_complete():
    event = request.get_json(force=True)
    job = event.get("id")
    if event.get("event") != "job_complete" or not JOB_ID.fullmatch(job or ""):
        return jsonify(status="rejected"), 400
    database().execute("INSERT OR IGNORE INTO jobs VALUES (?, ?)", (job, time.time()))
    return jsonify(status="queued", job=job)
