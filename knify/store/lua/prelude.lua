-- Shared by all scripts: prepended to each. Keys are described in knify/store/keys.py.
-- A script is the only way in which state moves, and each is one atomic step:
-- state check + fence check + record + indexes + event + outbox.
-- Times are milliseconds by Redis's own clock.

local P = 'knify:'
local admission = {} -- slots, capacity and waiting lines: filled by admission.lua
local family = {} -- tasks that are children of others: filled by family.lua
local runs = {} -- of definitions: filled by runs.lua

local function now()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

local function int(number) return string.format('%d', number) end
local function fail(code) return redis.error_reply(code) end
local function xkey(id) return P .. 'x:' .. id end
local function skey(id) return P .. 's:' .. id end
local function hkey(node, id) return P .. 'node:' .. node .. ':hold:' .. id end

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
  local set, gone = {}, {} -- two calls for all of them: each costs more than its fields
  for field, value in pairs(changes) do
    if value == cjson.null then gone[#gone + 1] = field
    else
      set[#set + 1] = field
      set[#set + 1] = value
    end
  end
  if #gone > 0 then redis.call('HDEL', key, unpack(gone)) end
  if #set > 0 then redis.call('HSET', key, unpack(set)) end
end

-- Append one event to an execution's history and wake its readers.
local function event(id, ts, stage, level, detail, state)
  local n = int(redis.call('HINCRBY', xkey(id), 'events', 1))
  redis.call('XADD', xkey(id) .. ':events', n .. '-0',
    'ts', int(ts), 'stage', stage, 'level', level, 'detail', detail, 'state', state or '')
  redis.call('PUBLISH', xkey(id), 'event')
end

-- What a packed execution still says of itself, too; in a row of schema 2 all of it is one JSON.
local function facts(x)
  return x.row and not x.tenant and cjson.decode(x.row) or x
end

-- An execution's moment: its place among the tenant's, in µs, which no other has.
local function moment(tenant, id)
  return tonumber(redis.call('ZSCORE', P .. 't:' .. tenant .. ':x', id) or '0')
end

local function term(word, at) return word .. string.format('%013x', at) end

-- The word of all executions of one state and type; `terms.py` makes the same.
local function kind(state, job_type)
  local hash, text = 0, state .. ':' .. job_type
  for i = 1, #text do hash = (hash * 31 + string.byte(text, i)) % 268435456 end
  return string.format('=%07x', hash)
end

-- The words of an execution in a state: of its type, and, if it came as a task, of all tasks.
local function kinds(state, x)
  local words = {kind(state, x.job_type)}
  if x.task_id then words[2] = kind(state, '@task') end
  return words
end

-- A task that is in no list any more gives its user's id free.
local function unname(id, x)
  local names = P .. 't:' .. x.tenant .. ':names'
  if x.task_id and redis.call('HGET', names, x.task_id) == id then redis.call('HDEL', names, x.task_id) end
end

-- Count for metrics: who comes, who leaves, and after how long. One of an older version, which was
-- not counted when it came, is counted from its next state on; so nothing becomes less than 0.
local function tally(x, to, ts)
  local key = P .. 'tally'
  if x and x.tallied then
    redis.call('HINCRBY', key, 'left:' .. x.state, 1)
    redis.call('HINCRBY', key, 'ms:' .. x.state, int(math.max(0, ts - tonumber(x.state_changed_at))))
  end
  redis.call('HINCRBY', key, 'came:' .. to, 1)
end

-- Whoever looks at the tenant's list sees that this one has changed.
local function relist(tenant, id) redis.call('PUBLISH', P .. 't:' .. tenant, id) end

-- Move the record and its index entry to another state.
local function move(id, x, to, ts)
  local tenant = P .. 't:' .. x.tenant
  local at = moment(x.tenant, id)
  if not x.deleting then
    for _, word in ipairs(kinds(x.state, x)) do redis.call('ZREM', tenant .. ':terms', term(word, at)) end
    for _, word in ipairs(kinds(to, x)) do redis.call('ZADD', tenant .. ':terms', 0, term(word, at)) end
  end
  redis.call('ZREM', tenant .. ':pending', id)
  if x.definition and not x.deleting then runs.count(x, x.state, to) end
  tally(x, to, ts)
  redis.call('HSET', xkey(id), 'state', to, 'state_changed_at', int(ts), 'tallied', '1')
  relist(x.tenant, id)
end

-- A node that drains or is cordoned takes no sandbox that is not there yet.
local function is_closed(node)
  return redis.call('HEXISTS', P .. 'draining', node) == 1 or redis.call('HEXISTS', P .. 'cordoned', node) == 1
end

-- No fence of before the last rollback reaches this: the epoch stands above its lower 32 bits.
local function least_fence()
  return tonumber(redis.call('GET', P .. 'epoch') or '0') * 4294967296
end

-- A fence beyond all that were given before, also beyond those that a rollback of Redis forgot.
-- The clock counts on, so that a rollback is noticed.
local function raise_fence(id, x, ts)
  local least = least_fence()
  local fence = tonumber(x.fence)
  if fence > 0 and fence < least then
    event(id, ts, 'store_rolled_back', 'warning',
      'Redis was put back to an older state; this job is followed anew from what that knew')
  end
  redis.call('INCR', P .. 'clock')
  redis.call('HSET', xkey(id), 'fence', int(math.max(fence, least) + 1))
end

-- Accepted before the last rollback, and no node has said yet that it holds the sandbox.
local function is_unsettled(x, ts)
  local rolled = tonumber(redis.call('GET', P .. 'rolled_at') or '0')
  return tonumber(x.created_at) <= rolled and ts < rolled + 15000
end

-- The hold on a sandbox's container, or nil. One that its holder let be, alive, ends with its time.
local function hold_of(node, id, ts)
  local hold = record(hkey(node, id))
  if hold and hold.left and tonumber(hold['until']) <= ts then
    redis.call('DEL', hkey(node, id))
    return nil
  end
  return hold
end

-- Change a sandbox's record, and the index of those that live on a node.
local function write_sandbox(id, changes)
  if changes.node ~= nil then
    local here = redis.call('HGET', skey(id), 'node')
    if here then redis.call('SREM', P .. 'node:' .. here .. ':sandboxes', id) end
    if changes.node ~= cjson.null then
      redis.call('SADD', P .. 'node:' .. changes.node .. ':sandboxes', id)
    end
  end
  write(skey(id), changes)
  local s = redis.call('HMGET', skey(id), 'state', 'node')
  if s[1] == 'lost' and s[2] then redis.call('SREM', P .. 'node:' .. s[2] .. ':sandboxes', id) end
end

-- Keep the node's lists of idle sandboxes (paused, and hot among them) in step with the record:
-- to be called after whatever may change its state or its turns.
local function shelve(id, ts)
  local s = redis.call('HMGET', skey(id), 'state', 'node', 'hot_until')
  if not s[2] then return end
  local node = P .. 'node:' .. s[2]
  if s[1] ~= 'paused' or redis.call('LLEN', skey(id) .. ':turns') > 0 then
    redis.call('ZREM', node .. ':paused', id)
    redis.call('ZREM', node .. ':hot', id)
    return
  end
  redis.call('ZADD', node .. ':paused', 'NX', int(ts), id)
  if s[3] then redis.call('ZADD', node .. ':hot', s[3], id)
  else redis.call('ZREM', node .. ':hot', id) end
end

-- Objects that nobody needs any more; the sweep deletes them.
local function discard(key, ts)
  if key then redis.call('ZADD', P .. 'objects:removals', int(ts), key) end
end

-- The sandbox is this object from here on, and lives on no node.
local function become_archive(id, s, key, size, sha256, ts)
  discard(s.archive, ts)
  redis.call('ZREM', P .. 'objects:removals', key)
  redis.call('HDEL', skey(id), 'archiving', 'archiver', 'archiving_until', 'node', 'container', 'hot_until')
  redis.call('HSET', skey(id), 'state', 'archived', 'state_changed_at', int(ts), 'archive', key,
    'archive_size', size, 'archive_sha256', sha256, 'archived_at', int(ts))
end

-- What a node holds of a sandbox that lives there no more is removed by its workers.
local function leave(id, node)
  if not node then return end
  redis.call('ZREM', P .. 'node:' .. node .. ':paused', id)
  redis.call('ZREM', P .. 'node:' .. node .. ':hot', id)
  redis.call('SREM', P .. 'node:' .. node .. ':sandboxes', id)
  redis.call('SADD', P .. 'node:' .. node .. ':removals', id)
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
  redis.call('HDEL', skey(id), 'custody') -- nothing is left that could show these secrets
  leave(id, node)
  discard(redis.call('HGET', skey(id), 'archive'), ts)
end

-- Behind the end the totals stay until it is packed, an hour at most: an answer of a model may still
-- come.
local function keep_usage(id) redis.call('EXPIRE', P .. 'usage:' .. id, 3600) end

-- What every end of an execution does: give back the slot, let the sandbox's next turn and a
-- waiting execution go on, start the sandbox's expiry. Returns ids worth a hint.
local function finish(id, x, ts, sandbox_ttl)
  local hints = {}
  redis.call('ZREM', P .. 'due', id)
  redis.call('HDEL', xkey(id), 'owner', 'lease_until')
  redis.call('DEL', P .. 'told:' .. id, xkey(id) .. ':typed')
  keep_usage(id)
  redis.call('HSET', xkey(id), 'completed_at', int(ts))
  redis.call('ZADD', P .. 'ended', int(ts), id)
  if x.definition then runs.finish(id, x, ts) end
  local place = admission.dequeue(id, x)
  local s = record(skey(x.sandbox_id))
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
  if s.state == 'creating' and s.archive and (next_turn or not s.doomed) then
    -- Its restoring was given up, or died with the node: the archive is what there is.
    redis.call('HSET', skey(x.sandbox_id), 'state', 'archived', 'state_changed_at', int(ts))
    redis.call('HDEL', skey(x.sandbox_id), 'node', 'container')
    leave(x.sandbox_id, s.node)
  end
  shelve(x.sandbox_id, ts)
  if x.child_of then
    for _, hint in ipairs(family.leave(x.child_of, id, ts)) do hints[#hints + 1] = hint end
  end
  if x.node and admission.vacate(x.node, id, x) then
    hints[#hints + 1] = admission.wake(ts, x.node)
  elseif place then
    for _, hint in ipairs(admission.moved_up(ts, place, id)) do hints[#hints + 1] = hint end
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
