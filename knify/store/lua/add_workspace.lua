-- Add the next version of a named workspace.
-- ARGV: id, record (JSON of strings, without version and created_at)
-- Returns: HGETALL of the record
local id, fields = ARGV[1], cjson.decode(ARGV[2])
local there = redis.call('HGETALL', P .. 'w:' .. id)
if #there > 0 then return there end -- this very call, repeated after a lost answer
local ts = now()
local name = P .. 't:' .. fields.tenant .. ':w:' .. fields.name
-- A counter, not the newest one's number: a deleted version's number never comes again.
fields.version = int(redis.call('HINCRBY', P .. 't:' .. fields.tenant .. ':wv', fields.name, 1))
fields.created_at = int(ts)
write(P .. 'w:' .. id, fields)
redis.call('ZADD', name, fields.version, id)
redis.call('ZADD', P .. 't:' .. fields.tenant .. ':w', int(ts), id)
return redis.call('HGETALL', P .. 'w:' .. id)
