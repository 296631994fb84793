-- POST with a body of a usual size, with a session if SESSION and CSRF are set; reports like ../report.lua.
wrk.method = "POST"
wrk.body = '{"message": "The new search is quick and finds what I mean. Please keep the filters as they are."}'
wrk.headers["Content-Type"] = "application/json"
if os.getenv("SESSION") then
  wrk.headers["Cookie"] = "session=" .. os.getenv("SESSION")
  wrk.headers["X-CSRF-Token"] = os.getenv("CSRF")
end
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format("RESULT %d %d %d %d %d %d\n", summary.requests, summary.duration,
    e.connect + e.read + e.write + e.timeout + e.status, latency:percentile(50),
    latency:percentile(95), latency:percentile(99)))
end
