-- Delete a webhook with all that it has; the tenant's others may use what it held.
-- ARGV: id
-- Returns: 'ok' | 'missing'
local id = ARGV[1]
local key = wkey(id)
local tenant = redis.call('HGET', key, 'tenant')
if not tenant then return 'missing' end
for _, delivery in ipairs(redis.call('ZRANGE', key .. ':all', 0, -1)) do
  redis.call('DEL', dkey(id, delivery))
end
redis.call('DEL', key, key .. ':all', key .. ':waiting', key .. ':due', key .. ':leased', key .. ':ended')
redis.call('SREM', wlist(tenant), id)
redis.call('ZREM', P .. 'webhooks:due', id)
redis.call('ZREM', P .. 'webhooks:ill', id)
hooks.reschedule(tenant, now())
return 'ok'
