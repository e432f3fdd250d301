-- Ask for cancellation. What nobody works on ends at once; else the owner is told.
-- ARGV: id, reason, sandbox ttl ms, final output entry, '1' to end it at once
-- Returns: {'terminal', state} | {'missing'} | {'asked', node or ''} | {'cancelled', hints…}
local id, reason, ttl, entry = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local x = record(xkey(id))
if not x then return {'missing'} end
if x.completed_at then return {'terminal', x.state} end
local ts = now()
if not x.cancel_requested_at then
  redis.call('HSET', xkey(id), 'cancel_requested_at', int(ts), 'cancel_reason', reason)
end
family.disband(id, ts)
local forced = ARGV[5] == '1'
if forced then redis.call('HSET', xkey(id), 'cancel_forced', '1') end
local leased = x.owner and tonumber(x.lease_until) > ts
if x.state ~= 'pending' or leased then
  redis.call('ZADD', P .. 'due', 'XX', 'LT', int(ts + 2000), id)
  if x.node then redis.call('PUBLISH', P .. 'node:' .. x.node, (forced and 'kill ' or 'cancel ') .. id) end
  return {'asked', x.node or ''}
end
raise_fence(id, x, ts)
append(id, tonumber(x.entries) + 1, {entry})
redis.call('HSET', xkey(id), 'error', reason)
move(id, x, 'cancelled', ts)
event(id, ts, 'cancelled', 'warning', reason, 'cancelled')
signal(x.tenant, id, ts, 'job.cancelled')
local hints = finish(id, x, ts, ttl)
table.insert(hints, 1, 'cancelled')
return hints
