-- Runs of definitions: shared by all scripts, after the prelude. A run is an execution whose record
-- names its definition. Keys, below knify:d:{definition}:
--   (the hash itself)  the definition; `dropped` while it is being deleted
--   runs               its runs that users see; score: their moment
--   counts             how many of those are in each state
--   live               runs that have not ended, and failed ones that are to be tried again
--   good, bad          runs that users see and that have ended so; score: when
--   spans              those that have begun; score: how long they ran, roughly, then when they began
--   ends               those of them that have ended; score: when

local function jkey(id) return P .. 'd:' .. id end
-- Its name, project and tags, by which it is found.
local function pkey(tenant, project) return P .. 't:' .. tenant .. ':p:' .. project end

-- A run's place in `spans`: class 0 goes on, class k took less than 2^k seconds. Whoever looks for those
-- of some moment looks no further back in each class than that, and since each of them had a slot
-- for half that time or longer, there are never many. `Definitions.during` reads it.
local function span(class, began) return int(class * 4398046511104 + tonumber(began)) end

-- Its command is started, for the first time or again.
function runs.start(id, x, ts)
  local key = jkey(x.definition)
  if redis.call('ZSCORE', key .. ':runs', id) then redis.call('ZADD', key .. ':spans', span(0, ts), id) end
end

local function close(id, definition, ts)
  local key, began = jkey(definition), redis.call('HGET', xkey(id), 'started_at')
  if not began or not redis.call('ZSCORE', key .. ':runs', id) then return end
  local class = 1
  while ts - tonumber(began) >= 1000 * 2 ^ class do class = class + 1 end
  redis.call('ZADD', key .. ':spans', span(class, began), id)
  redis.call('ZADD', key .. ':ends', int(ts), id)
end

function runs.count(x, from, to)
  local counts = jkey(x.definition) .. ':counts'
  if from and redis.call('HINCRBY', counts, from, -1) <= 0 then redis.call('HDEL', counts, from) end
  if to then redis.call('HINCRBY', counts, to, 1) end
end

-- Why a new run cannot be: nil, or the error's code. What it repeats is repeated once.
function runs.refusal(x)
  if not x.definition then return nil end
  local d = redis.call('HMGET', jkey(x.definition), 'tenant', 'dropped')
  if d[1] ~= x.tenant or d[2] then return 'DEFINITION_GONE' end
  if x.retry_of and not redis.call('ZSCORE', P .. 'retries', x.retry_of) then return 'RETRY_GONE' end
  return nil
end

-- A new one stands in its definition's lists; what it repeats has ended for good.
function runs.begin(id, x, at, ts)
  if not x.definition then return end
  local key = jkey(x.definition)
  redis.call('ZADD', key .. ':runs', int(at), id)
  redis.call('SADD', key .. ':live', id)
  runs.count(x, nil, 'pending')
  if x.retry_of then runs.give_up(x.retry_of, x.definition, ts) end
end

-- The oldest that are more than the definition keeps are deleted by the sweep.
function runs.trim(definition, ts)
  local key = jkey(definition)
  local most = redis.call('HMGET', key, 'keep_good', 'keep_bad')
  for i, list in ipairs({key .. ':good', key .. ':bad'}) do
    local last = most[i] and -1 - tonumber(most[i])
    for _, id in ipairs(last and redis.call('ZRANGE', list, 0, int(last)) or {}) do
      redis.call('ZADD', P .. 'runs:over', 'NX', int(ts), id)
      redis.call('ZREM', list, id)
    end
  end
end

-- It has ended and is not tried again.
function runs.settle(id, definition, ts)
  local key = jkey(definition)
  redis.call('SREM', key .. ':live', id)
  if not redis.call('ZSCORE', key .. ':runs', id) then return end -- nobody sees it any more
  local list = redis.call('HGET', xkey(id), 'state') == 'completed' and ':good' or ':bad'
  redis.call('ZADD', key .. list, int(ts), id)
  runs.trim(definition, ts)
end

-- A failed run that waits for its retry waits no more.
function runs.give_up(id, definition, ts)
  if redis.call('ZREM', P .. 'retries', id) == 1 then runs.settle(id, definition, ts) end
end

-- What the end of a run does: its retry is due later, if it failed and has one left.
function runs.finish(id, x, ts)
  close(id, x.definition, ts)
  local ended = redis.call('HMGET', xkey(id), 'state', 'deleting')
  local run = cjson.decode(x.run)
  local failed = string.sub(ended[1], 1, 6) == 'failed'
  if failed and not ended[2] and not x.cancel_requested_at and run.attempt <= run.retries
      and redis.call('HEXISTS', jkey(x.definition), 'dropped') == 0 then
    local wait = math.min(run.backoff_ms * 2 ^ (run.attempt - 1), 3600000)
    redis.call('ZADD', P .. 'retries', int(ts + wait), id)
    redis.call('PUBLISH', P .. 'cron', 'retry')
    return
  end
  runs.settle(id, x.definition, ts)
end

-- It leaves all lists that users see; to be called with the state that it has.
function runs.leave(id, x, state, ts)
  if not x.definition then return end
  local key = jkey(x.definition)
  if redis.call('ZREM', key .. ':runs', id) == 1 then runs.count(x, state, nil) end
  for _, list in ipairs({':good', ':bad', ':spans', ':ends'}) do redis.call('ZREM', key .. list, id) end
  redis.call('ZREM', P .. 'runs:over', id)
  runs.give_up(id, x.definition, ts)
end

-- A failed run that waits for its retry is cancelled instead: its state is another one, its end as it was.
-- What is packed has no history here that could tell. Returns whether it waited.
function runs.call_off(id, x, reason, ts)
  local row = facts(x)
  if x.deleting or x.expiring or not redis.call('ZSCORE', P .. 'retries', id) then return false end
  local tenant, at = P .. 't:' .. row.tenant, moment(row.tenant, id)
  for _, word in ipairs(kinds(x.state, row)) do redis.call('ZREM', tenant .. ':terms', term(word, at)) end
  for _, word in ipairs(kinds('cancelled', row)) do redis.call('ZADD', tenant .. ':terms', 0, term(word, at)) end
  if redis.call('ZSCORE', jkey(row.definition) .. ':runs', id) then runs.count(row, x.state, 'cancelled') end
  redis.call('HSET', xkey(id), 'state', 'cancelled')
  if not x.row then
    redis.call('HSET', xkey(id), 'state_changed_at', int(ts), 'cancel_requested_at', int(ts), 'cancel_reason', reason)
    event(id, ts, 'cancelled', 'warning', reason .. ', while it waited for its retry', 'cancelled')
    signal(row.tenant, id, ts, 'job.cancelled')
  end
  runs.give_up(id, row.definition, ts)
  return true
end

-- Ask all that have not ended to end; whose worker is away ends when somebody claims it. Those that
-- wait for a retry have none any more. Returns the others.
function runs.replace(definition, reason, ts)
  local asked = {}
  for _, id in ipairs(redis.call('SMEMBERS', jkey(definition) .. ':live')) do
    local x = redis.call('HMGET', xkey(id), 'completed_at', 'cancel_requested_at', 'node')
    if x[1] then runs.give_up(id, definition, ts)
    else
      if not x[2] then redis.call('HSET', xkey(id), 'cancel_requested_at', int(ts), 'cancel_reason', reason) end
      redis.call('ZADD', P .. 'due', 'XX', 'LT', int(ts + 2000), id)
      if x[3] then redis.call('PUBLISH', P .. 'node:' .. x[3], 'cancel ' .. id) end
      asked[#asked + 1] = id
    end
  end
  return asked
end

-- When its next due time is looked at; whoever sleeps until a later one is woken.
function runs.plan(id, score)
  if score == '' then
    redis.call('ZREM', P .. 'cron', id)
    return
  end
  local first = redis.call('ZRANGE', P .. 'cron', 0, 0, 'WITHSCORES')[2]
  redis.call('ZADD', P .. 'cron', score, id)
  if not first or tonumber(score) < tonumber(first) then redis.call('PUBLISH', P .. 'cron', 'due') end
end
