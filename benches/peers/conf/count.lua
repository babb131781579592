-- Exact totals, which wrk itself rounds for people.
function done(summary, latency, requests)
    local e = summary.errors
    io.write(string.format("totals %d %d %d\n", summary.requests, summary.bytes,
        e.connect + e.read + e.write + e.status + e.timeout))
end
