-- Take the lease of an execution, if it is free and its turn has come and the node has a slot.
-- ARGV: id, owner, node, lease ms, slots of the node, dead owner ('' or one proved dead)
-- Returns: {'claimed', previous owner or '', next one to hint or '', HGETALL…} | {'held', owner} | {'terminal'} | {'missing'}
--          | {'turn'} (another turn is first) | {'full'} | {'elsewhere', node}
--          | {'draining'} (no sandbox comes here any more)
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
local hold = record(hkey(node, x.sandbox_id))
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
if x.node and x.node ~= node then redis.call('SREM', P .. 'node:' .. x.node .. ':active', id) end
local active = P .. 'node:' .. node .. ':active'
if redis.call('SISMEMBER', active, id) == 0 then
  -- Both refusals end by an event (a turn or a slot becomes free); the minute is a safety net.
  redis.call('ZADD', P .. 'due', 'XX', int(ts + 60000), id)
  if redis.call('LINDEX', skey(x.sandbox_id) .. ':turns', 0) ~= id then return {'turn'} end
  local score = tonumber(x.created_at) - (tonumber(x.priority) or 0) * 1e13
  if not where and drains(node) then
    redis.call('ZADD', P .. 'waiting', int(score), id)
    return {'draining'}
  end
  local first, best = first_waiting(node)
  local behind = first and first ~= id and best < score
  if behind or redis.call('SCARD', active) >= tonumber(slots) then
    redis.call('ZADD', P .. 'waiting' .. (where and ':' .. where or ''), int(score), id)
    return {'full'}
  end
  redis.call('SADD', active, id)
end

redis.call('ZREM', P .. 'waiting', id)
redis.call('ZREM', P .. 'waiting:' .. node, id)
local until_ms = int(ts + tonumber(lease))
raise_fence(id, x, ts)
redis.call('HSET', xkey(id), 'owner', owner, 'lease_until', until_ms, 'node', node)
redis.call('ZADD', P .. 'due', until_ms, id)
local more = redis.call('SCARD', active) < tonumber(slots) and wake(ts, node) or ''
local answer = redis.call('HGETALL', xkey(id))
table.insert(answer, 1, 'claimed')
table.insert(answer, 2, previous)
table.insert(answer, 3, more)
return answer
