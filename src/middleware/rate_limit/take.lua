-- Takes from a token bucket; see `shared.rs`. All numbers are whole ticks of 1/16 microsecond,
-- exact in the doubles of Lua: 2^53 of them are 17 years, counted from the start of 2026.
-- The time is the server's own, so that no two daemons disagree about it.
--
-- KEYS[1]  the bucket: when it is full
-- ARGV     what the request costs; what a bucket holds
-- gives    the time until the request would pass, 0 if it does; until the bucket is full
local time = redis.call('TIME')
local now = (time[1] - 1767225600) * 16000000 + time[2] * 16
local cost, holds = tonumber(ARGV[1]), tonumber(ARGV[2])
local full_at = tonumber(redis.call('GET', KEYS[1]) or now)
-- Not beyond a whole bucket: the clock may have been set back.
full_at = math.min(math.max(full_at, now), now + holds)
local after = full_at + cost
if after > now + holds then
  return {after - now - holds, full_at - now}
end
-- A full bucket is as good as none.
local expires = string.format('%.0f', math.ceil((after - now) / 16000))
redis.call('SET', KEYS[1], string.format('%.0f', after), 'PX', expires)
return {0, after - now}
