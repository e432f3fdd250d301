-- Webhooks: shared by all scripts, after the prelude. What happens to a job is put into the outbox
-- of each webhook that wants it, in the same step as the change itself; nothing stands between that
-- could be lost. Keys, below knify:h:{webhook}:
--   (the hash itself)  the webhook
--   d:{delivery}       one event for this receiver, and what became of it
--   all                every delivery there is; score: when it was made
--   waiting            those that have not ended, held and leased ones too; score: the same
--   due                those that may be tried; score: when
--   leased             those that are being tried; score: end of the lease
--   ended              delivered or given up; score: when
-- knify:webhooks:due has each webhook for which there is something to do, by the time at which, and
-- knify:webhooks:ill those of them whose attempts fail: they share a small part of all attempts.

local hooks = {
  waiting = 5000,    -- deliveries that may wait for one webhook
  history = 200,     -- ended ones that are kept
  at_once = 4,       -- attempts at one time for one webhook
  of_tenant = 8,     -- the same for all of a tenant's
  ill = 3,           -- failures in a row after which one attempt at a time is enough
  patience = 300000, -- ms for which a job's next event waits for one that fails
  longest = 60000,   -- ms; no lease is longer, unless the clock stepped back since
  far = 7200000,     -- ms; nothing is put further ahead, unless the clock stepped back since
}

local function wkey(id) return P .. 'h:' .. id end
local function dkey(webhook, id) return P .. 'h:' .. webhook .. ':d:' .. id end
local function wlist(tenant) return P .. 't:' .. tenant .. ':webhooks' end

-- At most so many bytes of a text, whole characters.
local function clipped(text, most)
  if #text <= most then return text end
  return (string.gsub(string.sub(text, 1, most), '[\192-\247]?[\128-\191]*$', '')) .. '…'
end

-- Those whose lease ran out, or was given before the clock stepped back.
function hooks.dead(webhook, ts)
  local leased = wkey(webhook) .. ':leased'
  local dead = redis.call('ZRANGEBYSCORE', leased, '-inf', int(ts))
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', leased, int(ts + hooks.longest + 1), '+inf')) do
    dead[#dead + 1] = id
  end
  return dead
end

-- Attempts of a tenant that are under way; leases that ran out do not count.
function hooks.busy(tenant, ts)
  local sum = 0
  for _, webhook in ipairs(redis.call('SMEMBERS', wlist(tenant))) do
    sum = sum + redis.call('ZCOUNT', wkey(webhook) .. ':leased', int(ts + 1), int(ts + hooks.longest))
  end
  return sum
end

function hooks.is_ill(webhook)
  return tonumber(redis.call('HGET', wkey(webhook), 'failures') or '0') >= hooks.ill
end

-- Whether one more attempt may begin.
function hooks.has_room(webhook, busy)
  local most = hooks.is_ill(webhook) and 1 or hooks.at_once
  return busy < hooks.of_tenant and redis.call('ZCARD', wkey(webhook) .. ':leased') < most
end

-- Enter the webhook where it belongs by its own lists, and wake those who deliver. Of several that
-- have something to do, the one that was served longest ago comes first.
function hooks.schedule(webhook, busy)
  local key, ts = wkey(webhook), now()
  local at = tonumber(redis.call('ZRANGE', key .. ':leased', 0, 0, 'WITHSCORES')[2])
  if at and #hooks.dead(webhook, ts) > 0 then at = math.min(at, ts) end
  local due = tonumber(redis.call('ZRANGE', key .. ':due', 0, 0, 'WITHSCORES')[2])
  if due and hooks.has_room(webhook, busy) then
    local served = tonumber(redis.call('HGET', key, 'served_at') or '0')
    if served <= ts then due = math.max(due, served) end -- else the clock stepped back since
    at = math.min(at or due, due)
  end
  local index, other = P .. 'webhooks:due', P .. 'webhooks:ill'
  if hooks.is_ill(webhook) then index, other = other, index end
  redis.call('ZREM', other, webhook)
  if not at then
    redis.call('ZREM', index, webhook)
    return
  end
  local before = tonumber(redis.call('ZSCORE', index, webhook))
  redis.call('ZADD', index, int(at), webhook)
  if not before or at < before then redis.call('PUBLISH', P .. 'webhooks', 'due') end
end

-- The same for all of a tenant's: what one of them frees, another may use.
function hooks.reschedule(tenant, ts)
  local busy = hooks.busy(tenant, ts)
  for _, webhook in ipairs(redis.call('SMEMBERS', wlist(tenant))) do hooks.schedule(webhook, busy) end
end

-- Keep the newest of those that ended.
function hooks.trim(webhook)
  local key = wkey(webhook)
  for _, id in ipairs(redis.call('ZRANGE', key .. ':ended', 0, -1 - hooks.history)) do
    redis.call('DEL', dkey(webhook, id))
    redis.call('ZREM', key .. ':all', id)
    redis.call('ZREM', key .. ':ended', id)
  end
end

-- Let the job's next event go.
function hooks.give_way(webhook, id, ts)
  redis.call('HSET', dkey(webhook, id), 'gave_way', '1')
  local after = redis.call('HGET', dkey(webhook, id), 'next')
  if not after then return end
  redis.call('HDEL', dkey(webhook, id), 'next')
  local key = wkey(webhook)
  if redis.call('ZSCORE', key .. ':waiting', after) and not redis.call('ZSCORE', key .. ':leased', after) then
    redis.call('ZADD', key .. ':due', 'NX', int(ts), after)
  end
end

-- It was delivered, or will not be tried again.
function hooks.finish(webhook, id, status, ts)
  local key = wkey(webhook)
  for _, list in ipairs({'waiting', 'due', 'leased'}) do redis.call('ZREM', key .. ':' .. list, id) end
  redis.call('HSET', dkey(webhook, id), 'status', status, 'ended_at', int(ts))
  redis.call('HDEL', dkey(webhook, id), 'token', 'next_at')
  hooks.give_way(webhook, id, ts)
  redis.call('ZADD', key .. ':ended', int(ts), id)
  hooks.trim(webhook)
end

-- One that has not ended, or is to be tried again, waits from here on; the oldest make room. Whether
-- it waits: after a step of the clock it may itself be the oldest.
function hooks.wait(webhook, id, ts)
  local waiting = wkey(webhook) .. ':waiting'
  redis.call('ZADD', waiting, int(ts), id)
  while redis.call('ZCARD', waiting) > hooks.waiting do
    local oldest = redis.call('ZRANGE', waiting, 0, 0)[1]
    redis.call('HSET', dkey(webhook, oldest), 'error',
      'given up: more than ' .. hooks.waiting .. ' newer deliveries wait for this webhook')
    hooks.finish(webhook, oldest, 'failed', ts)
  end
  return redis.call('ZSCORE', waiting, id)
end

-- A new delivery: due now, or held behind one of the same job that has not ended.
function hooks.enqueue(webhook, id, kind, job, event, ts, before)
  local delivery = dkey(webhook, id)
  if redis.call('EXISTS', delivery) == 1 then return end -- this very event, told twice
  redis.call('HSET', delivery, 'id', id, 'type', kind, 'job', job, 'event', event,
    'status', 'pending', 'created_at', int(ts))
  redis.call('ZADD', wkey(webhook) .. ':all', int(ts), id)
  if not hooks.wait(webhook, id, ts) then return end
  for _, other in ipairs(before) do
    if redis.call('ZSCORE', wkey(webhook) .. ':waiting', other)
        and not redis.call('HGET', dkey(webhook, other), 'gave_way') then
      redis.call('HSET', dkey(webhook, other), 'next', id)
      return
    end
  end
  redis.call('ZADD', wkey(webhook) .. ':due', int(ts), id)
end

-- Nothing waits or is tried any more: whoever is at it finds its token gone.
function hooks.abandon(webhook, reason, ts)
  local key = wkey(webhook)
  for i, id in ipairs(redis.call('ZREVRANGE', key .. ':waiting', 0, -1)) do
    if i <= hooks.history then
      redis.call('HSET', dkey(webhook, id), 'status', 'failed', 'error', reason, 'ended_at', int(ts))
      redis.call('HDEL', dkey(webhook, id), 'token', 'next', 'next_at')
      redis.call('ZADD', key .. ':ended', int(ts), id)
    else
      redis.call('DEL', dkey(webhook, id))
      redis.call('ZREM', key .. ':all', id)
    end
  end
  redis.call('DEL', key .. ':waiting', key .. ':due', key .. ':leased')
  hooks.trim(webhook)
end

-- What receivers are told of a job at this moment (JSON of texts): nothing that may be secret, such
-- as its command, prompt or variables, and nothing long.
local function snapshot(id, kind, ts)
  local names = {'name', 'job_type', 'metadata', 'parent_id', 'sandbox_id', 'session_id',
    'created_at', 'started_at', 'completed_at', 'state', 'exit_code', 'error'}
  local held = redis.call('HMGET', xkey(id), unpack(names))
  local told = {id = id, type = kind, ts = int(ts)}
  for i, name in ipairs(names) do
    if held[i] then told[name] = held[i] end
  end
  if told.error then told.error = clipped(told.error, 2000) end
  if told.metadata and #told.metadata > 4096 then told.metadata, told.is_brief = nil, '1' end
  if kind == 'job.completed' or kind == 'job.failed' or kind == 'job.cancelled' then
    told.completed_at = told.completed_at or int(ts)
  end
  return cjson.encode(told)
end

-- Tell the tenant's webhooks what happened to a job; `kind` is '' for what is told to nobody. Nor is
-- what becomes of a job that somebody deleted: its end comes of that, and to users it is gone.
-- A delivery is named by its event, which happens once to a job: one name for all attempts,
-- all webhooks, and for the same event after Redis was put back to an older state.
local function signal(tenant, id, ts, kind)
  if kind == '' or redis.call('HEXISTS', xkey(id), 'deleting') == 1 then return end
  local told, busy
  for _, webhook in ipairs(redis.call('SMEMBERS', wlist(tenant))) do
    local held = redis.call('HMGET', wkey(webhook), 'active', 'events')
    if held[1] == '1' and string.find(held[2], ',' .. kind .. ',', 1, true) then
      told, busy = told or snapshot(id, kind, ts), busy or hooks.busy(tenant, ts)
      local event = 'evt_' .. id .. '_'
      local before = {}
      if kind ~= 'job.created' then before = {event .. 'started', event .. 'created'} end
      if kind == 'job.started' then before = {event .. 'created'} end
      hooks.enqueue(webhook, event .. string.sub(kind, 5), kind, id, told, ts, before)
      hooks.schedule(webhook, busy)
    end
  end
end
