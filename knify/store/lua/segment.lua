-- Note a part of the output that an object holds now, and take it out of Redis.
-- ARGV: id, fence, number of its first entry, of its last one, bytes that leave Redis, its name here
-- Returns: 'ok' | 'repeated'
local id, fence, first, last = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
if redis.call('HGET', xkey(id), 'fence') ~= fence then return fail('LEASE_LOST') end
local head = redis.call('XRANGE', xkey(id) .. ':output', '-', '+', 'COUNT', 1)[1]
local at = head and tonumber(string.match(head[1], '^%d+'))
if not at or at > last then return 'repeated' end
if at ~= first then return fail('OUT_OF_ORDER') end
redis.call('ZADD', xkey(id) .. ':segments', int(last), ARGV[6])
redis.call('XTRIM', xkey(id) .. ':output', 'MINID', '=', int(last + 1) .. '-0')
redis.call('HINCRBY', xkey(id), 'tail_bytes', '-' .. ARGV[5])
return 'ok'
