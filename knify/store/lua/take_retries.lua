-- Take failed runs whose retry is due, for a moment in which no other beat does.
-- ARGV: at most, ms of that moment
-- Returns: their ids
local ts = now()
local taken = redis.call('ZRANGEBYSCORE', P .. 'retries', '-inf', int(ts), 'LIMIT', 0, ARGV[1])
for _, id in ipairs(taken) do redis.call('ZADD', P .. 'retries', int(ts + tonumber(ARGV[2])), id) end
return taken
