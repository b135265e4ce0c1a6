-- SPDX-License-Identifier: Apache-2.0
-- For wrk: each webhook names another job; at the end one line of JSON.
local n, prefix = 0, os.getenv("JOBS")
local path = os.getenv("HOOK") or "/job-complete"
local tail = '","event":"job_complete","msg":"Your job is complete"}'
local head = "POST " .. path .. " HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n" ..
   "Content-Length: " .. (#'{"id":"' + #prefix + 9 + #tail) .. '\r\n\r\n{"id":"' .. prefix .. "-"

function request()
   n = n + 1
   return head .. string.format("%08d", n) .. tail
end

function done(summary, latency)
   local e = summary.errors
   io.write(string.format(
      '\n{"answers":%d,"seconds":%.6f,"p50_ms":%.4f,"p99_ms":%.4f,"refused":%d,"broken":%d}\n',
      summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3,
      latency:percentile(99) / 1e3, e.status, e.connect + e.read + e.write + e.timeout))
end
