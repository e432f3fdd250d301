-- Add the next version of a named workspace.
-- ARGV: id, record (JSON of strings, without version and created_at)
-- Returns: HGETALL of the record
local id, fields = ARGV[1], cjson.decode(ARGV[2])
local ts = now()
local name = P .. 't:' .. fields.tenant .. ':w:' .. fields.name
local newest = redis.call('ZREVRANGE', name, 0, 0, 'WITHSCORES')
fields.version = int((tonumber(newest[2]) or 0) + 1)
fields.created_at = int(ts)
write(P .. 'w:' .. id, fields)
redis.call('ZADD', name, fields.version, id)
redis.call('ZADD', P .. 't:' .. fields.tenant .. ':w', int(ts), id)
return redis.call('HGETALL', P .. 'w:' .. id)
