-- What is due and unclaimed: to be hinted now, and again after `again` ms while nobody takes it.
-- Nothing is put further ahead than `far`, unless the clock stepped back since: that is due, too.
-- Who stands in a line and was not let try is not hinted: each end of a job and each heartbeat lets the
-- next one try. So a long line costs a sweep next to nothing.
-- ARGV: again ms, at most, far ms
-- Returns: id, node of its sandbox or '', …
local WAIT, BOUND, ROUNDS = 300000, 60000, 10 -- ms until one that waits (for one node) is looked at again; rounds of a look
local ts, most = now(), tonumber(ARGV[2])
local again, far = int(ts + tonumber(ARGV[1])), int(ts + tonumber(ARGV[3]))
local answer = {}

local function waits(x)
  local line, woken, cancelled = x[2], x[3], x[4]
  if not line or woken or cancelled then return false end
  return line == '' or redis.call('EXISTS', P .. 'node:' .. line .. ':beat') == 1
end

local function look(ids)
  for _, id in ipairs(ids) do
    local x = redis.call('HMGET', xkey(id), 'sandbox_id', 'line', 'woken', 'cancel_requested_at')
    local rests = waits(x)
    redis.call('ZADD', P .. 'due', 'XX', rests and int(ts + (x[2] == '' and WAIT or BOUND)) or again, id)
    if not rests then
      answer[#answer + 1] = id
      answer[#answer + 1] = x[1] and redis.call('HGET', skey(x[1]), 'node') or ''
    end
  end
  return #ids
end

for _ = 1, ROUNDS do
  local seen = look(redis.call('ZRANGEBYSCORE', P .. 'due', '-inf', int(ts), 'LIMIT', 0, most))
  if seen < most or #answer / 2 >= most then break end
end
look(redis.call('ZRANGEBYSCORE', P .. 'due', far, '+inf', 'LIMIT', 0, most))
return answer
