-- What became of an attempt. Only who claimed it last may say so.
-- ARGV: webhook, delivery, token, status code or '', ms that it took, error or '' (it is delivered),
--       ms until the next attempt, ms after the first one in which there may be more,
--       '1' if the job's next event need not wait for this one, body that was sent
-- Returns: 'delivered' | 'again' | 'failed' | 'gone'
local webhook, id, token, code, ms, problem = unpack(ARGV)
local delay, limit, gives_way, body = tonumber(ARGV[7]), tonumber(ARGV[8]), ARGV[9], ARGV[10]
local key, delivery = wkey(webhook), dkey(webhook, id)
local tenant = redis.call('HGET', key, 'tenant')
if not tenant or redis.call('HGET', delivery, 'token') ~= token then return 'gone' end
local ts = now()
redis.call('ZREM', key .. ':leased', id)
redis.call('HSET', delivery, 'code', code, 'ms', ms, 'error', problem)
redis.call('HDEL', delivery, 'token')
if body ~= '' then -- the very same bytes next time
  redis.call('HSET', delivery, 'body', body)
  redis.call('HDEL', delivery, 'event')
end
local verdict = 'again'
if problem == '' then
  redis.call('HDEL', key, 'failures', 'failing_since', 'last_error')
  redis.call('HSET', key, 'last_success_at', int(ts))
  hooks.finish(webhook, id, 'delivered', ts)
  verdict = 'delivered'
else
  redis.call('HINCRBY', key, 'failures', 1)
  redis.call('HSETNX', key, 'failing_since', int(ts))
  redis.call('HSET', key, 'last_error', problem)
  local first = tonumber(redis.call('HGET', delivery, 'first_at') or ts)
  if ts + delay > first + limit then
    hooks.finish(webhook, id, 'failed', ts)
    verdict = 'failed'
  else
    redis.call('HSET', delivery, 'status', 'pending', 'next_at', int(ts + delay))
    redis.call('ZADD', key .. ':due', int(ts + delay), id)
    if gives_way == '1' or ts - first >= hooks.patience then hooks.give_way(webhook, id, ts) end
  end
end
hooks.reschedule(tenant, ts)
return verdict
