-- Shared by all scripts: prepended to each. Keys are described in knify/store/keys.py.
-- A script is the only way in which state moves, and each is one atomic step:
-- state check + fence check + record + indexes + event + outbox.
-- Times are milliseconds by Redis's own clock.

local P = 'knify:'

local function now()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

local function int(number) return string.format('%d', number) end
local function fail(code) return redis.error_reply(code) end
local function xkey(id) return P .. 'x:' .. id end
local function skey(id) return P .. 's:' .. id end

-- A hash as a table of strings, or nil.
local function record(key)
  local flat = redis.call('HGETALL', key)
  if #flat == 0 then return nil end
  local fields = {}
  for i = 1, #flat, 2 do fields[flat[i]] = flat[i + 1] end
  return fields
end

-- Write changed fields; JSON null removes one.
local function write(key, changes)
  for field, value in pairs(changes) do
    if value == cjson.null then redis.call('HDEL', key, field)
    else redis.call('HSET', key, field, value) end
  end
end

-- Append one event to an execution's history and wake its readers.
local function event(id, ts, stage, level, detail, state)
  local n = int(redis.call('HINCRBY', xkey(id), 'events', 1))
  redis.call('XADD', xkey(id) .. ':events', n .. '-0',
    'ts', int(ts), 'stage', stage, 'level', level, 'detail', detail, 'state', state or '')
  redis.call('PUBLISH', xkey(id), 'event')
end

-- A lifecycle signal for the tenant's webhooks, if it has any.
local function signal(tenant, id, ts, kind)
  if kind ~= '' and redis.call('EXISTS', P .. 't:' .. tenant .. ':webhooks') == 1 then
    redis.call('XADD', P .. 'outbox', 'MAXLEN', '~', 100000, '*', 'tenant', tenant, 'id', id, 'type', kind, 'ts', int(ts))
  end
end

-- Move the record and its index entry to another state.
local function move(id, x, to, ts)
  local index = P .. 't:' .. x.tenant .. ':x:state:'
  redis.call('ZREM', index .. x.state, id)
  redis.call('ZADD', index .. to, x.created_at, id)
  redis.call('HSET', xkey(id), 'state', to, 'state_changed_at', int(ts))
end

-- The first of those who wait for a slot of this node: id and score, or nil.
local function first_waiting(node)
  local own = redis.call('ZRANGE', P .. 'waiting:' .. node, 0, 0, 'WITHSCORES')
  local common = redis.call('ZRANGE', P .. 'waiting', 0, 0, 'WITHSCORES')
  if #own == 0 or (#common > 0 and tonumber(common[2]) < tonumber(own[2])) then own = common end
  return own[1], tonumber(own[2])
end

-- Let it try again. It leaves its line only by a claim, so nobody can slip in before it.
local function wake(ts, node)
  local first = first_waiting(node)
  if first then redis.call('ZADD', P .. 'due', 'XX', int(ts), first) end
  return first
end

-- A sandbox that is made, or never will be, needs its workspace no more.
local function let_go(id, s)
  if s.state == 'creating' and s.workspace_id then
    redis.call('SREM', P .. 'w:' .. s.workspace_id .. ':users', id)
  end
end

-- The record says deleted at once; container and volumes go when the node's workers come to it.
local function delete_sandbox(id, node, ts)
  redis.call('HSET', skey(id), 'state', 'deleted', 'state_changed_at', int(ts))
  if node then redis.call('SADD', P .. 'node:' .. node .. ':removals', id) end
end

-- What every end of an execution does: give back the slot, let the sandbox's next turn and a
-- waiting execution go on, start the sandbox's expiry. Returns ids worth a hint.
local function finish(id, x, ts, sandbox_ttl)
  local hints = {}
  redis.call('ZREM', P .. 'due', id)
  redis.call('HDEL', xkey(id), 'owner', 'lease_until')
  redis.call('HSET', xkey(id), 'completed_at', int(ts))
  redis.call('ZADD', P .. 'ended', int(ts), id)
  redis.call('ZREM', P .. 'waiting', id)
  local s = record(skey(x.sandbox_id))
  if s.node then redis.call('ZREM', P .. 'waiting:' .. s.node, id) end
  local turns = skey(x.sandbox_id) .. ':turns'
  redis.call('LREM', turns, 0, id)
  local next_turn = redis.call('LINDEX', turns, 0)
  if next_turn then
    redis.call('ZADD', P .. 'due', 'XX', int(ts), next_turn)
    hints[#hints + 1] = next_turn
  else
    let_go(x.sandbox_id, s)
    if s.doomed then
      delete_sandbox(x.sandbox_id, s.node, ts)
    elseif s.state ~= 'deleted' then
      local expires = int(ts + sandbox_ttl)
      redis.call('HSET', skey(x.sandbox_id), 'expires_at', expires)
      redis.call('ZADD', P .. 'sandboxes:expiry', expires, x.sandbox_id)
    end
  end
  if x.node and redis.call('SREM', P .. 'node:' .. x.node .. ':active', id) == 1 then
    hints[#hints + 1] = wake(ts, x.node)
  end
  return hints
end

-- Append output entries (JSON texts) behind number `first - 1`.
local function append(id, first, entries)
  local size = 0
  for i, entry in ipairs(entries) do
    size = size + #entry
    redis.call('XADD', xkey(id) .. ':output', int(first + i - 1) .. '-0', 'd', entry)
  end
  redis.call('HSET', xkey(id), 'entries', int(first + #entries - 1))
  if size > 0 then redis.call('HINCRBY', xkey(id), 'tail_bytes', int(size)) end
  redis.call('PUBLISH', xkey(id), 'output')
end

-- The record if this fence still owns it, else nil and the error's code.
local function owned(id, fence)
  local x = record(xkey(id))
  if not x then return nil, 'NOT_FOUND' end
  if x.fence ~= fence then return nil, 'LEASE_LOST' end
  return x
end
