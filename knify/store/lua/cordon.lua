-- Let no new sandbox come to a node, and leave there what is there; or let them come again.
-- ARGV: node, '1' or '' (no more)
-- Returns: ids of executions worth a hint
local node = ARGV[1]
if ARGV[2] == '1' then redis.call('HSETNX', P .. 'cordoned', node, int(now()))
else redis.call('HDEL', P .. 'cordoned', node) end
local first = admission.wake(now(), node)
return first and {first} or {}
