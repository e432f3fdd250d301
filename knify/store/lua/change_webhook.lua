-- Change a webhook. One that is switched off lets go of all that waits for it.
-- ARGV: id, changes (JSON), why its deliveries end if it is switched off
-- Returns: HGETALL of the record
local id, changes = ARGV[1], cjson.decode(ARGV[2])
local tenant = redis.call('HGET', wkey(id), 'tenant')
if not tenant then return fail('NOT_FOUND') end
local ts = now()
write(wkey(id), changes)
if changes.active == '' then hooks.abandon(id, ARGV[3], ts) end
if changes.active or changes.url then redis.call('HDEL', wkey(id), 'failures', 'failing_since', 'last_error') end
hooks.reschedule(tenant, ts)
return redis.call('HGETALL', wkey(id))
