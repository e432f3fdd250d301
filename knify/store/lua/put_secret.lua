-- Keep a tenant's secret, instead of the value before.
-- ARGV: tenant, name, sealed value, most secrets of a tenant
-- Returns: {when it was kept first, when now}
local tenant, name = ARGV[1], ARGV[2]
local list = P .. 't:' .. tenant .. ':secrets'
local ts = now()
local before = redis.call('HGET', list, name)
if not before and redis.call('HLEN', list) >= tonumber(ARGV[4]) then return fail('SECRET_LIMIT') end
local created = before and cjson.decode(before)[1] or ts
redis.call('HSET', list, name, '[' .. int(created) .. ',' .. int(ts) .. ']')
redis.call('HSET', list .. ':sealed', name, ARGV[3])
return {int(created), int(ts)}
