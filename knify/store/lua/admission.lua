-- Shared by all scripts, behind the prelude: what a node has room for, and who is next.
-- Each place (a node, or '' for any) has a line for each tenant who waits there. Tenants take
-- turns, the one served longest ago first; within a tenant priority decides, then age.

local TENANTS, DEPTH, OLDEST, NODES = 16, 16, 8, 16 -- how far one look goes
local BEYOND = 128 -- how many of those farther back it takes in
local LIVES, DAY = 60000, 86400 -- ms for which a heartbeat counts; s
local KINDS = {'cpus', 'memory', 'disk'} -- thousandths of a core, bytes, bytes

-- Where those stand who may come to this node and to others. None come to a closed one.
local function common(node) return is_closed(node) and node or '' end

local function line(place, tenant) return P .. 'line:' .. place .. ':' .. tenant end
local function lines(place) return P .. 'lines:' .. place end
local function oldest(place) return P .. 'oldest:' .. place end
local function nkey(node, what) return P .. 'node:' .. node .. ':' .. what end

-- What an execution takes, from the text in its record; one of an older version takes nothing.
local function needs(text)
  local cpus, memory, disk = string.match(text or '', '^(%d+) (%d+) (%d+)$')
  return {cpus = tonumber(cpus) or 0, memory = tonumber(memory) or 0, disk = tonumber(disk) or 0}
end

-- What one that waits takes, and its sandbox. Neither changes, and one look asks at many nodes.
local known = {}
local function wanted(id)
  if not known[id] then
    local x = redis.call('HMGET', xkey(id), 'needs', 'sandbox_id')
    known[id] = {needs(x[1]), x[2]}
  end
  return known[id][1], known[id][2]
end

local function fits(want, free)
  for _, kind in ipairs(KINDS) do if want[kind] > free[kind] then return false end end
  return true
end

function admission.fits(x, free) return fits(needs(x.needs), free) end

function admission.needs(text)
  local want = needs(text)
  return {want.cpus, want.memory, want.disk}
end

-- The counters change with the set `active`, here alone.
local function count(node, x, sign)
  local want = needs(x.needs)
  for _, kind in ipairs(KINDS) do
    if want[kind] ~= 0 then redis.call('HINCRBY', nkey(node, 'used'), kind, int(sign * want[kind])) end
  end
end

function admission.occupy(node, id, x)
  if redis.call('SADD', nkey(node, 'active'), id) == 1 then count(node, x, 1) end
end

function admission.vacate(node, id, x)
  local left = redis.call('SREM', nkey(node, 'active'), id) == 1
  if left then count(node, x, -1) end
  return left
end

-- What a node's heartbeat says of its images.
function admission.has_images(node, images, ts)
  local mine, there = nkey(node, 'images'), {}
  for _, image in ipairs(images) do there[image] = true end
  for _, image in ipairs(redis.call('SMEMBERS', mine)) do
    if not there[image] then
      redis.call('ZREM', P .. 'image:' .. image, node)
      redis.call('SREM', mine, image)
    end
  end
  for image in pairs(there) do
    redis.call('ZADD', P .. 'image:' .. image, int(ts), node)
    redis.call('EXPIRE', P .. 'image:' .. image, DAY)
    redis.call('SADD', mine, image)
  end
  redis.call('EXPIRE', mine, DAY)
end

-- Whether a sandbox that lives nowhere can be made on this node: its image is there. An image that no
-- living node has binds nobody: whoever claims the job says that it is missing.
local function suits(node, sandbox_id, ts)
  local s = redis.call('HMGET', skey(sandbox_id), 'node', 'image')
  if s[1] or not s[2] then return true, nil end
  local key = P .. 'image:' .. s[2]
  local since = int(ts - LIVES)
  local has = tonumber(redis.call('ZSCORE', key, node) or '0') >= ts - LIVES
  if has or redis.call('ZCOUNT', key, since, '+inf') == 0 then return true, nil end
  return false, key
end

function admission.suits(x, node, ts) return (suits(node, x.sandbox_id, ts)) end

-- What is free on a node, or nil when it takes nothing new. What it never said is without limit.
function admission.room(node, slots)
  local said = redis.call('HMGET', nkey(node, 'capacity'), 'slots', 'cpus', 'memory', 'disk', 'low', 'patience')
  slots = tonumber(slots or said[1]) or math.huge
  if said[5] or redis.call('SCARD', nkey(node, 'active')) >= slots then return nil end
  local used = redis.call('HMGET', nkey(node, 'used'), unpack(KINDS))
  local free = {total = {}, patience = tonumber(said[6]) or 600000}
  for i, kind in ipairs(KINDS) do
    free.total[kind] = tonumber(said[i + 1]) or math.huge
    free[kind] = free.total[kind] - (tonumber(used[i]) or 0)
  end
  return free
end

-- Into the line, if it does not stand there. It leaves by a claim or its end, so nobody slips in.
function admission.enqueue(id, x, place, ts)
  if x.line == place then return end
  if x.line then admission.dequeue(id, x) end
  local score = tonumber(x.created_at) - (tonumber(x.priority) or 0) * 1e13
  redis.call('ZADD', line(place, x.tenant), int(score), id)
  local served = redis.call('ZSCORE', P .. 'served', x.tenant) or '0'
  redis.call('ZADD', lines(place), 'NX', served, x.tenant)
  redis.call('ZADD', oldest(place), int(ts), id)
  redis.call('HSET', xkey(id), 'line', place)
  x.line = place
end

-- Out of the line; the place where it stood, or nil.
function admission.dequeue(id, x)
  local place = x.line
  if not place then return nil end
  redis.call('ZREM', line(place, x.tenant), id)
  if redis.call('EXISTS', line(place, x.tenant)) == 0 then redis.call('ZREM', lines(place), x.tenant) end
  redis.call('ZREM', oldest(place), id)
  redis.call('HDEL', xkey(id), 'line', 'woken')
  x.line = nil
  return place
end

-- The tenant goes behind the others who wait for this node.
function admission.served(tenant, node)
  local t = redis.call('TIME')
  local moment = int(t[1] * 1000000 + t[2])
  redis.call('ZADD', P .. 'served', moment, tenant)
  redis.call('ZADD', lines(node), 'XX', moment, tenant)
  redis.call('ZADD', lines(''), 'XX', moment, tenant)
end

-- Members of two sorted sets in the order of their scores, the first few of each.
local function merged(one, other, few)
  local found = {}
  for _, key in ipairs({one, other}) do
    local flat = redis.call('ZRANGE', key, 0, few - 1, 'WITHSCORES')
    for i = 1, #flat, 2 do found[#found + 1] = {flat[i], tonumber(flat[i + 1])} end
  end
  table.sort(found, function(a, b) return a[2] < b[2] or (a[2] == b[2] and a[1] < b[1]) end)
  return found
end

-- Whom the node is held for, so that it need not starve behind smaller ones: the id if it fits now,
-- and true while nobody else may pass. One who has waited for long and does not fit gets the node
-- for as long as it was patient; then all may pass for the same time again.
local function held(node, ts, free)
  local key = nkey(node, 'hold')
  local hold = redis.call('HMGET', key, 'id', 'until', 'again')
  if hold[1] then
    local x = redis.call('HMGET', xkey(hold[1]), 'line', 'needs')
    if x[1] and tonumber(hold[2]) > ts then return fits(needs(x[2]), free) and hold[1] or nil, true end
    redis.call('HDEL', key, 'id')
    redis.call('HSET', key, 'again', int(ts + free.patience))
    return nil, false
  end
  if hold[3] and tonumber(hold[3]) > ts then return nil, false end
  for _, place in ipairs({node, common(node)}) do
    local since = int(ts - free.patience)
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', oldest(place), '-inf', since, 'LIMIT', 0, OLDEST)) do
      local x = redis.call('HMGET', xkey(id), 'needs', 'held_until', 'sandbox_id')
      local want = needs(x[1])
      local elsewhere = x[2] and tonumber(x[2]) > ts
      if not elsewhere and not fits(want, free) and fits(want, free.total) and suits(node, x[3], ts) then
        local until_ms = int(ts + free.patience)
        redis.call('HSET', key, 'id', id, 'until', until_ms)
        redis.call('HSET', xkey(id), 'held_until', until_ms)
        return nil, true
      end
    end
  end
  return nil, false
end

-- Who takes the next slot of this node: an id or nil, and whether the node is held for somebody.
function admission.next(node, ts, free)
  local first, is_held = held(node, ts, free)
  if is_held then return first, true end
  local seen = {}
  for _, tenant in ipairs(merged(lines(node), lines(common(node)), TENANTS)) do
    tenant = tenant[1]
    if not seen[tenant] then
      seen[tenant] = true
      for _, waiting in ipairs(merged(line(node, tenant), line(common(node), tenant), DEPTH)) do
        local want, sandbox = wanted(waiting[1])
        if fits(want, free) and suits(node, sandbox, ts) then return waiting[1], false end
      end
    end
  end
  return nil, false
end

-- Nobody in sight fits: one of those behind them, of whatever tenant, or nil. A look takes in some,
-- and the next one goes on there, so that nobody waits for ever behind others who do.
local function beyond(node, ts, free)
  for _, place in ipairs({node, common(node)}) do
    local many = redis.call('ZCARD', oldest(place))
    if many > DEPTH then
      local field, from = 'beyond:' .. place, 0
      if many > BEYOND then from = tonumber(redis.call('HGET', nkey(node, 'hold'), field) or '0') end
      if from >= many then from = 0 end
      for _, id in ipairs(redis.call('ZRANGE', oldest(place), from, from + BEYOND - 1)) do
        local want, sandbox = wanted(id)
        if fits(want, free) and suits(node, sandbox, ts) then return id end
      end
      if many > BEYOND then redis.call('HSET', nkey(node, 'hold'), field, from + BEYOND) end
    end
  end
end

-- Who is to try for a slot of this node: the next one, or one from behind where none in sight fits.
function admission.candidate(node, ts, free)
  local first, is_held = admission.next(node, ts, free)
  return first or not is_held and beyond(node, ts, free) or nil
end

-- Let this one try. The node counts on it: should it go elsewhere, or end, another one is let try.
-- Who stands in a line and was not let try is brought by an event, and by no sweep (due.lua).
local function let_try(ts, node, id)
  redis.call('ZADD', P .. 'due', 'XX', int(ts), id)
  redis.call('HSET', nkey(node, 'hold'), 'woken', id)
  redis.call('HSET', xkey(id), 'woken', node)
end

-- It tried, and waits on.
function admission.tried(id) redis.call('HDEL', xkey(id), 'woken') end

-- Let the next one try again: its id, or nil.
function admission.wake(ts, node, slots)
  local free = admission.room(node, slots)
  local first = free and admission.candidate(node, ts, free)
  if first then let_try(ts, node, first) end
  return first or nil
end

-- Somebody else came, and it is the turn of this one: tenants change places without a word to those
-- behind. Its id unless it is on its way already.
function admission.hasten(ts, node, id)
  local is_due = tonumber(redis.call('ZSCORE', P .. 'due', id) or ts) <= ts
  let_try(ts, node, id)
  return not is_due and id or nil
end
