-- How many executions a sandbox of a store of an older schema has, as they were counted. Nothing is
-- written once the store is upgraded, or when its number changed meanwhile: jobs count for themselves.
-- ARGV: the new schema, sandbox id, its number when it was read ('' for none), the right one
-- Returns: '1' | '' (left as it is)
local schema, key = tonumber(redis.call('GET', P .. 'schema')), skey(ARGV[2])
if not schema or schema >= tonumber(ARGV[1]) or redis.call('EXISTS', key) == 0 then return '' end
if (redis.call('HGET', key, 'executions') or '') ~= ARGV[3] then return '' end
redis.call('HSET', key, 'executions', ARGV[4])
return '1'
