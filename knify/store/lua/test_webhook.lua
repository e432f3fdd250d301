-- Put an event of no job into a webhook's outbox.
-- ARGV: webhook, id of the delivery, type
-- Returns: HGETALL of the delivery
local webhook, id, kind = unpack(ARGV)
local held = redis.call('HMGET', wkey(webhook), 'tenant', 'active')
if not held[1] then return fail('NOT_FOUND') end
if held[2] ~= '1' then return fail('WEBHOOK_INACTIVE') end
local ts = now()
hooks.enqueue(webhook, id, kind, '', cjson.encode({type = kind, ts = int(ts)}), ts, {})
hooks.schedule(webhook, hooks.busy(held[1], ts))
return redis.call('HGETALL', dkey(webhook, id))
