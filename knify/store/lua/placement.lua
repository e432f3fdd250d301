-- Shared by all scripts, behind admission.lua: on which of the nodes a job that lives nowhere yet begins.

local LOOKS, WORTH, NEAR = 3, 0.2, 0.5 -- nodes looked at; by how much less laden one must be; what a workspace at hand is worth

-- The living nodes, other than this one, that were seen last: all, or those of an image.
local function others(node, image)
  local found = {}
  for _, other in ipairs(redis.call('ZREVRANGE', image or P .. 'nodes', 0, NODES - 1)) do
    if other ~= node and redis.call('EXISTS', nkey(other, 'beat')) == 1 then found[#found + 1] = other end
  end
  return found
end

-- One that cannot go to this node: a node where it is next, or nil, and somebody worth a hint who
-- is next where it might have been.
function admission.elsewhere(ts, id, node, x)
  local hint
  local _, image = suits(node, x.sandbox_id, ts)
  for _, other in ipairs(others(node, image)) do
    local free = admission.room(other)
    local first = free and admission.next(other, ts, free)
    if first == id then return other, hint end
    hint = first and admission.hasten(ts, other, first) or hint
  end
  return nil, hint
end

-- Nodes for a newcomer: those that were seen last, and where there are more, some by chance.
local function sighted(image)
  local found, near = others('', image), {}
  if redis.call('ZCARD', image or P .. 'nodes') <= NODES then return found end
  for _, node in ipairs(found) do near[node] = true end
  for _, node in ipairs(redis.call('ZRANDMEMBER', image or P .. 'nodes', NODES)) do
    if not near[node] and redis.call('EXISTS', nkey(node, 'beat')) == 1 then found[#found + 1] = node end
  end
  return found
end

-- One of these that would take this newcomer now: it is next there, or none of those who are looked at
-- fits. Nil: one of those who wait will be served first. Whom it finds before it may try.
local saturated = false -- no node has a slot: this call need not look again
local function taker(ts, id, x)
  if saturated then return nil end
  local _, image = suits('', x.sandbox_id, ts)
  local nodes, rooms = sighted(image), 0
  for _, other in ipairs(nodes) do
    local free = not is_closed(other) and admission.room(other)
    if free then rooms = rooms + 1 end
    if free and admission.fits(x, free) then
      local first, held = admission.next(other, ts, free)
      if first == id then return other end
      if first then admission.hasten(ts, other, first) end
      if not first and not held then
        local before = admission.candidate(other, ts, free)
        if not before or before == id then return other end
        let_try(ts, other, before)
      end
    end
  end
  saturated = rooms == 0 and not image
end

-- A new one: the node that is to look at it, '' for any, or nil. While others wait for any node,
-- most newcomers only stand behind them: the end of some job brings them, and nobody looks in vain.
function admission.arrive(ts, id, x)
  local s = redis.call('HMGET', skey(x.sandbox_id), 'node')
  if s[1] or x.child_of or redis.call('EXISTS', lines('')) == 0 then return s[1] or '' end
  admission.enqueue(id, x, '', ts)
  local node = taker(ts, id, x)
  if node then let_try(ts, node, id) else redis.call('ZADD', P .. 'due', 'XX', int(ts + 60000), id) end
  return node
end

-- Who stood in a line has left it (for `node`, if it did not end): nodes that counted on it let
-- another one try, and perhaps others waited behind, unless `more` is known. Ids worth a hint.
function admission.moved_up(ts, place, id, node, more)
  if place ~= '' then return {admission.wake(ts, place)} end
  local hints, waits = {more}, redis.call('EXISTS', lines('')) == 1 -- mostly nobody does
  for _, other in ipairs(others(node)) do
    if (waits and #hints == 0) or redis.call('HGET', nkey(other, 'hold'), 'woken') == id then
      hints[#hints + 1] = admission.wake(ts, other)
    end
  end
  return hints
end

-- How much of a node is taken, from 0 to 1: of that which it has least of.
local function load(node, slots)
  local said = redis.call('HMGET', nkey(node, 'capacity'), 'slots', unpack(KINDS))
  local used = redis.call('HMGET', nkey(node, 'used'), unpack(KINDS))
  local most = redis.call('SCARD', nkey(node, 'active')) / math.max(1, tonumber(slots or said[1]) or math.huge)
  for i = 1, #KINDS do
    local total = tonumber(said[i + 1])
    if total and total > 0 then most = math.max(most, (tonumber(used[i]) or 0) / total) end
  end
  return most
end

-- A node on which this job would stand better than on the one that may take it now, or nil: one that
-- has its workspace unpacked, or of a few others by chance one with more room. Asked once for a job,
-- so that none wanders; the hint is all that is lost when that node does not take it.
function admission.better(ts, id, x, node, slots)
  if x.placed then return nil end
  local workspace = redis.call('HGET', skey(x.sandbox_id), 'workspace_id')
  local near, at = {}, {}
  if workspace then
    for _, other in ipairs(redis.call('ZREVRANGE', P .. 'trees:' .. workspace, 0, LOOKS)) do
      near[other], at[#at + 1] = true, other
    end
  end
  for _, other in ipairs(redis.call('ZRANDMEMBER', P .. 'nodes', LOOKS)) do
    if not near[other] then at[#at + 1] = other end
  end
  local best, least = nil, load(node, slots) - (near[node] and NEAR or 0) - WORTH
  if least < 0 and not workspace then return nil end
  for _, other in ipairs(at) do
    if other ~= node and redis.call('EXISTS', nkey(other, 'beat')) == 1 and not is_closed(other) then
      local cost = load(other) - (near[other] and NEAR or 0)
      if cost < least then
        local free = admission.room(other)
        if free and fits(needs(x.needs), free) and suits(other, x.sandbox_id, ts) then best, least = other, cost end
      end
    end
  end
  if best then
    redis.call('HSET', xkey(id), 'placed', best, 'woken', best)
    redis.call('ZADD', P .. 'due', 'XX', int(ts + 2000), id)
    redis.call('HSET', nkey(best, 'hold'), 'woken', id)
  end
  return best
end
