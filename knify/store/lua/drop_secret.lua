-- Delete a tenant's secret.
-- ARGV: tenant, name
-- Returns: 'ok'
local list = P .. 't:' .. ARGV[1] .. ':secrets'
redis.call('HDEL', list .. ':sealed', ARGV[2])
if redis.call('HDEL', list, ARGV[2]) == 0 then return fail('NOT_FOUND') end
return 'ok'
