-- Try a delivery again now, as if it were new; one that is being tried just now is left alone.
-- ARGV: webhook, delivery
-- Returns: HGETALL of the delivery
local webhook, id = unpack(ARGV)
local key, delivery = wkey(webhook), dkey(webhook, id)
local held = redis.call('HMGET', key, 'tenant', 'active')
if not held[1] or redis.call('EXISTS', delivery) == 0 then return fail('NOT_FOUND') end
if held[2] ~= '1' then return fail('WEBHOOK_INACTIVE') end
local ts = now()
if not redis.call('ZSCORE', key .. ':leased', id) then
  redis.call('ZREM', key .. ':ended', id)
  redis.call('HDEL', delivery, 'first_at', 'ended_at', 'next_at', 'error', 'code', 'ms')
  redis.call('HSET', delivery, 'status', 'pending', 'tries', '0')
  if redis.call('ZSCORE', key .. ':waiting', id) or hooks.wait(webhook, id, ts) then
    redis.call('ZADD', key .. ':due', int(ts), id)
  end
  hooks.schedule(webhook, hooks.busy(held[1], ts))
end
return redis.call('HGETALL', delivery)
