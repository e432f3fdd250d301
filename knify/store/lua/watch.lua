-- For how long a sweeper has looked at this Redis without a break, so that a missing heartbeat
-- says something of the node and not of Redis. Steps of the clock begin it anew.
-- ARGV: the longest pause in ms that is no break, the longest that is no jump of the clock
-- Returns: ms, ms since the last jump or -1
local ts, key = now(), P .. 'watch'
local held = redis.call('HMGET', key, 'since', 'last', 'jumped')
local since, last, jumped = tonumber(held[1] or ts), tonumber(held[2] or ts), held[3]
if ts < last or ts - last > tonumber(ARGV[1]) then since = ts end
if math.abs(ts - last) > tonumber(ARGV[2]) or ts < tonumber(jumped or ts) then
  jumped = int(ts)
  redis.call('HSET', key, 'jumped', jumped)
end
redis.call('HSET', key, 'since', int(since), 'last', int(ts))
return {int(ts - since), jumped and int(ts - tonumber(jumped)) or '-1'}
