-- An execution has done all but end, and waits for its children: it gives lease and slot back, and the
-- last of them wakes it.
-- ARGV: id, fence, event detail
-- Returns: {'over'} (none is open: it may end) | {'parked', hints…}
local id, fence, detail = ARGV[1], ARGV[2], ARGV[3]
local x, problem = owned(id, fence)
if not x then return fail(problem) end
if x.state ~= 'completing' then return fail('ILLEGAL_TRANSITION') end
if not family.is_open(id) then return {'over'} end
local ts = now()
if not x.parked_at then
  redis.call('HSET', xkey(id), 'parked_at', int(ts))
  event(id, ts, 'children_awaited', 'info', detail)
end
redis.call('HDEL', xkey(id), 'owner', 'lease_until')
redis.call('ZADD', P .. 'due', 'XX', int(ts + 60000), id) -- the last child's end wakes it; a safety net
local hints = {'parked'}
if x.node and admission.vacate(x.node, id, x) then hints[2] = admission.wake(ts, x.node) end
return hints
