-- Let no new sandbox come to a node, or let them come again.
-- ARGV: node, '1' or '' (no more)
-- Returns: ids of executions worth a hint
local node = ARGV[1]
if ARGV[2] == '1' then
  local paused = redis.call('ZCARD', P .. 'node:' .. node .. ':paused')
  redis.call('HSETNX', P .. 'draining', node, cjson.encode({since = now(), paused = paused}))
else
  redis.call('HDEL', P .. 'draining', node)
end
redis.call('PUBLISH', P .. 'node:' .. node, 'tidy')
local first = admission.wake(now(), node)
return first and {first} or {}
