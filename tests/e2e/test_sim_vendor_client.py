# SPDX-License-Identifier: Apache-2.0
"""The vendor's own Python client (api-py 0.0.1, 2020) against the simulator, unmodified.

Fetches that client and its dependencies from the package registry into build/vendor-client, once.
Where there is no registry: make e2e ARGS="-k 'not vendor_client'"."""

import hashlib
import json
import subprocess
import sys

import pytest

import programs

pytestmark = pytest.mark.timeout(300)

# The package imports itself as api_py, a name that it does not install.
SHIM = """
import sys, importlib.util
spec = importlib.util.find_spec("voxel51")
sys.modules["api_py"] = importlib.util.module_from_spec(spec)
sys.modules["api_py"].__path__ = spec.submodule_search_locations
import voxel51
"""

CLIENT = """
import datetime, json, os, sys
from voxel51.users.api import API, APIError
from voxel51.users.jobs import JobRequest, JobState
from voxel51.users.query import JobsQuery

api, out, told = API(), sys.argv[1], {}
ids = [job["id"] for job in api.list_jobs()]
first, second, failed, ready = ids
told["ids"] = ids
query = JobsQuery().add_fields(["id", "state"]).add_search_or("state", ["COMPLETE", "FAILED"])
told["query"] = api.query_jobs(query.add_search("archived", False).sort_by("id").set_limit(2))
told["details"] = api.get_job_details(first)
told["state"] = [api.get_job_state(first), api.is_job_complete(first), api.is_job_expired(first)]
told["request"] = api.get_job_request(first).to_dict()
told["status"] = api.get_job_status(first)
told["platform"] = api.get_platform_status()
api.download_job_output(first, os.path.join(out, "output"))
api.download_job_logfile(first, os.path.join(out, "log"))
told["urls"] = [api.get_job_output_download_url(first), api.get_job_logfile_download_url(first)]
api.archive_job(second)
told["archived"] = [job["id"] for job in api.list_jobs()]
api.unarchive_job(second)
api.update_job_ttl(first, days=1.5)
told["days"] = api.get_job_details(first)["expiration_date"]
api.update_job_ttl(first, expiration_date=datetime.datetime(2099, 1, 2, 3, 4, 5))
told["date"] = api.get_job_details(first)["expiration_date"]
told["batch"] = api.batch_update_jobs_ttl([first, "nobody"], days=-1)
told["batch_archive"] = api.batch_archive_jobs([second])
api.start_job(ready)
api.wait_until_job_completes(ready, sleep_time=0.1)
request = JobRequest("owner/name")
request.set_parameter("p", 1)
told["uploaded"] = api.upload_job_request(request, "a name", auto_start=True)
errors = []
for call in (lambda: api.get_job_details("nobody"), lambda: api.start_job(first),
             lambda: api.download_job_output(failed, os.path.join(out, "none"))):
    try:
        call()
    except APIError as error:
        errors.append(str(error))
told["errors"] = errors
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def python():
    """An interpreter that has the client."""
    home = programs.ROOT / "build" / "vendor-client"
    interpreter = home / "bin" / "python"
    done = home / "done"
    if not done.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", home], check=True)
        # of 2020 as well: its requests-toolbelt knows no later urllib3
        packages = ["api-py==0.0.1", "urllib3<2"]
        pip = [interpreter, "-m", "pip", "install", "--quiet", *packages]
        subprocess.run(pip, check=True, timeout=250)
        done.touch()
    return interpreter


def test_vendor_client(sim, python, tmp_path):
    s = sim("--generate", "2", "--generate", "1:FAILED", "--generate", "1:READY", "--size", "1M",
            "--set", "auto_start=no", "--set", "running_ms=100")  # fmt: skip
    token = {"private_key": s.token, "base_api_url": s.url, "token_id": "1", "created_at": "now"}
    (tmp_path / "token").write_text(json.dumps({"access_token": token}))
    env = programs.clean_env(tmp_path, {"VOXEL51_API_TOKEN": tmp_path / "token"})
    done = subprocess.run([python, "-c", SHIM + CLIENT, tmp_path], env=env, capture_output=True,
                          text=True, timeout=100, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    first, second, failed, ready = told["ids"]
    assert told["query"]["count"] == 3 and len(told["query"]["jobs"]) == 2
    assert told["details"]["id"] == first
    assert told["state"] == ["COMPLETE", True, False]
    assert told["request"]["analytic"] and told["status"]["state"] == "COMPLETE"
    assert told["platform"]["platform"]["operational"] is True
    body = (tmp_path / "output").read_bytes()
    assert hashlib.sha256(body).hexdigest() == s.digest(first)
    assert first in (tmp_path / "log").read_text()
    assert all(url.startswith(s.url + "/signed/") for url in told["urls"])
    assert told["archived"] == [first, failed, ready]
    assert told["days"] > told["details"]["expiration_date"]
    assert told["date"] == "2099-01-02T03:04:05.000Z"
    assert told["batch"][first]["success"] is True
    assert told["batch"]["nobody"]["success"] is False
    assert told["batch_archive"] == {second: {"success": True}}
    assert told["uploaded"]["name"] == "a name"
    assert [error[:3] for error in told["errors"]] == ["404", "400", "400"]
    assert not (tmp_path / "none").exists()
