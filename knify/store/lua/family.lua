-- Shared by all scripts, behind the prelude: tasks that are children of another task.
-- A parent's `open` children have not ended; those at `work` have been claimed. Its record says how
-- many may be at work at a time (`most_children`), and whether it waits for them (`awaits`): it is
-- then parked at its end, without a lease and without a slot, until the last one has ended.

local MOST = 1000 -- open children of one task, as `families.MOST`

local function open_children(parent) return xkey(parent) .. ':open' end
local function at_work(parent) return xkey(parent) .. ':work' end

-- Let those try who have waited longest, as many as may be at work. Ids worth a hint.
local function wake_children(parent, ts)
  local most = tonumber(redis.call('HGET', xkey(parent), 'most_children') or '')
  local free = most and most - redis.call('SCARD', at_work(parent)) or 0
  local hints = {}
  if free <= 0 then return hints end
  -- At most `most - free` of those looked at are at work, so enough others are among them.
  for _, id in ipairs(redis.call('ZRANGE', open_children(parent), 0, most + free - 1)) do
    if #hints == free then break end
    if redis.call('SISMEMBER', at_work(parent), id) == 0 then
      redis.call('ZADD', P .. 'due', 'XX', int(ts), id)
      hints[#hints + 1] = id
    end
  end
  return hints
end

-- Why a new child cannot be accepted: an error's code, or nil. An ended parent has no more of them.
function family.refuses(parent, tenant)
  local p = redis.call('HMGET', xkey(parent), 'tenant', 'task_id', 'completed_at', 'cancel_requested_at',
    'deleting', 'expiring')
  if p[1] ~= tenant or not p[2] or p[5] or p[6] then return 'PARENT_NONE' end
  if p[3] or p[4] then return 'PARENT_ENDED' end
  if redis.call('ZCARD', open_children(parent)) >= MOST then return 'TOO_MANY_CHILDREN' end
  return nil
end

function family.join(parent, id, at) redis.call('ZADD', open_children(parent), int(at), id) end

-- Whether as many of its siblings are at work as may be.
function family.is_full(parent, id)
  local most = tonumber(redis.call('HGET', xkey(parent), 'most_children') or '')
  if not most or redis.call('SISMEMBER', at_work(parent), id) == 1 then return false end
  return redis.call('SCARD', at_work(parent)) >= most
end

function family.begin(parent, id)
  if redis.call('HEXISTS', xkey(parent), 'most_children') == 1 then redis.call('SADD', at_work(parent), id) end
end

-- A child has ended: the next ones may try, and who waits for the last one may end. Ids worth a hint.
function family.leave(parent, id, ts)
  redis.call('ZREM', open_children(parent), id)
  redis.call('SREM', at_work(parent), id)
  if redis.call('EXISTS', open_children(parent)) == 1 then return wake_children(parent, ts) end
  local p = redis.call('HMGET', xkey(parent), 'parked_at', 'completed_at')
  if not p[1] or p[2] then return {} end
  redis.call('ZADD', P .. 'due', 'XX', int(ts), parent)
  return {parent}
end

-- Its children are to be cancelled, by whoever comes to it.
function family.disband(id, ts)
  if redis.call('EXISTS', open_children(id)) == 1 then
    redis.call('ZADD', P .. 'disbanding', 'NX', int(ts), id)
  end
end

function family.is_open(id) return redis.call('EXISTS', open_children(id)) == 1 end
