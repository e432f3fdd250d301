-- A workspace version leaves all lists; its object goes next, then its record.
-- ARGV: id, 'unused' (only when no sandbox waits for it) or ''
-- Returns: 'doomed' | 'used' | 'missing'
local id = ARGV[1]
local w = record(P .. 'w:' .. id)
if not w then return 'missing' end
if ARGV[2] == 'unused' and redis.call('SCARD', P .. 'w:' .. id .. ':users') > 0 then return 'used' end
redis.call('ZREM', P .. 't:' .. w.tenant .. ':w', id)
redis.call('ZREM', P .. 't:' .. w.tenant .. ':w:' .. w.name, id)
redis.call('HSET', P .. 'w:' .. id, 'doomed', '1')
redis.call('SADD', P .. 'workspaces:doomed', id)
return 'doomed'
