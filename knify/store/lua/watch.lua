-- For how long a sweeper has looked at this Redis without a break, so that a missing heartbeat
-- says something of the node and not of Redis. Steps of the clock begin it anew.
-- ARGV: the longest pause in ms that is no break
-- Returns: ms
local ts, key = now(), P .. 'watch'
local held = redis.call('HMGET', key, 'since', 'last')
local since, last = tonumber(held[1] or ts), tonumber(held[2] or ts)
if ts < last or ts - last > tonumber(ARGV[1]) then since = ts end
redis.call('HSET', key, 'since', int(since), 'last', int(ts))
return int(ts - since)
