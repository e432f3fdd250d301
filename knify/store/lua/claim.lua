-- Take the lease of an execution, if it is free, its turn has come, the node has room for it and
-- nobody is before it. What is active on the node needs no room: with 0 slots only that goes on.
-- ARGV: id, owner, node, lease ms, slots of the node, dead owner ('' or one proved dead)
-- Returns: {'claimed', previous owner or '', next one to hint or '', HGETALL…} | {'held', owner} | {'terminal'} | {'missing'}
--          | {'turn'} (another turn is first) | {'family', '', one to hint or ''} (as many of its siblings are at work as may be) | {'full', node where it is next or '', one to hint or ''}
--          | {'elsewhere', node} | {'draining'} (no sandbox comes here now)
--          | {'kept' or 'stale' (beyond its time), holder, sandbox} (its container is being stopped or removed)
--          | {'leftover', sandbox} (what this node had of it is to be removed first)
local id, owner, node, lease, slots, dead = unpack(ARGV)
local x = record(xkey(id))
if not x then
  redis.call('ZREM', P .. 'due', id)
  return {'missing'}
end
if x.completed_at then
  redis.call('ZREM', P .. 'due', id)
  return {'terminal'}
end
local ts = now()
local previous = x.owner or ''
-- Who asks has let go of all that it held before a rollback, though the record may not know.
local anew = previous == owner and tonumber(x.fence) < least_fence()
if previous ~= '' and previous ~= dead and not anew and tonumber(x.lease_until) > ts then
  return {'held', previous}
end

local where = redis.call('HGET', skey(x.sandbox_id), 'node')
if where and where ~= node then return {'elsewhere', where} end
local hold = hold_of(node, x.sandbox_id, ts)
if hold then
  redis.call('ZADD', P .. 'due', 'XX', int(ts + 1000), id) -- its end wakes the first turn
  return {tonumber(hold['until']) > ts and 'kept' or 'stale', hold.owner, x.sandbox_id}
end
if redis.call('SISMEMBER', P .. 'node:' .. node .. ':removals', x.sandbox_id) == 1 then
  return {'leftover', x.sandbox_id}
end
if not where and is_unsettled(x, ts) then
  redis.call('ZADD', P .. 'due', 'XX', int(ts + 1000), id)
  return {'turn'}
end
local place = where or ''
local active = P .. 'node:' .. node .. ':active'
local waited = x.line
if redis.call('SISMEMBER', active, id) == 0 and not x.parked_at then -- who is parked needs no room
  -- Both refusals end by an event (a turn or a slot becomes free); the minute is a safety net.
  redis.call('ZADD', P .. 'due', 'XX', int(ts + 60000), id)
  if redis.call('LINDEX', skey(x.sandbox_id) .. ':turns', 0) ~= id then return {'turn'} end
  if x.child_of and family.is_full(x.child_of, id) then -- a sibling's end wakes it
    local place = admission.dequeue(id, x)
    return {'family', '', place and admission.moved_up(ts, place, id)[1] or ''}
  end
  local served = x.node and redis.call('SISMEMBER', P .. 'node:' .. x.node .. ':active', id) == 1
  if not where and is_closed(node) then
    if not served then admission.enqueue(id, x, place, ts) end
    return {'draining'}
  end
  local free, first, held = admission.room(node, slots), nil, false
  if served then
    -- Taken over from another node. It was served before, so it stands in no line: its owner may
    -- yet come back, and nobody would claim what is next then.
    if not (free and admission.fits(x, free) and admission.suits(x, node, ts)) then return {'full', '', ''} end
  else
    admission.enqueue(id, x, place, ts)
    if free then first, held = admission.next(node, ts, free) end
    -- One too far behind to be seen passes nobody who would fit.
    local unseen = free and not first and not held and admission.fits(x, free) and admission.suits(x, node, ts)
    if first ~= id and not unseen then
      admission.tried(id)
      local other, hint
      if place == '' then other, hint = admission.elsewhere(ts, id, node, x) end
      return {'full', other or '', first and admission.hasten(ts, node, first) or hint or ''}
    end
    local better = place == '' and admission.better(ts, id, x, node, slots)
    if better then return {'full', better, ''} end
  end
  admission.occupy(node, id, x)
  if x.child_of then family.begin(x.child_of, id) end
  admission.served(x.tenant, node)
end
if x.node and x.node ~= node and admission.vacate(x.node, id, x) then admission.wake(ts, x.node) end
admission.dequeue(id, x)

local until_ms = int(ts + tonumber(lease))
raise_fence(id, x, ts)
redis.call('HSET', xkey(id), 'owner', owner, 'lease_until', until_ms, 'node', node)
redis.call('ZADD', P .. 'due', until_ms, id)
local more = admission.wake(ts, node, slots)
if waited == '' then more = admission.moved_up(ts, '', id, node, more)[1] end
local answer = redis.call('HGETALL', xkey(id))
table.insert(answer, 1, 'claimed')
table.insert(answer, 2, previous)
table.insert(answer, 3, more or '')
return answer
