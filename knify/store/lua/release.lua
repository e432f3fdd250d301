-- Give a lease back, so that another worker may claim at once, or after `delay` ms.
-- ARGV: id, fence, delay ms, changes (JSON)
local id, fence, delay = ARGV[1], ARGV[2], tonumber(ARGV[3])
local x, problem = owned(id, fence)
if not x then return fail(problem) end
write(xkey(id), cjson.decode(ARGV[4]))
redis.call('HDEL', xkey(id), 'owner', 'lease_until')
redis.call('ZADD', P .. 'due', 'XX', int(now() + delay), id)
return 'ok'
