-- A terminal execution becomes a row; its objects hold all of it.
-- ARGV: id, when it ended, numbers of its events, entries and segments as they were stored, row (JSON of short
--       texts, so that Redis keeps the hash in one piece), its usage as it was read or ''
-- Returns: 'ok' | 'repeated' | 'missing' | 'changed' (nothing done)
local id = ARGV[1]
local x = record(xkey(id))
if not x or x.row or x.expiring then
  redis.call('ZREM', P .. 'ended', id)
  return x and 'repeated' or 'missing'
end
if x.deleting then return 'repeated' end
local segments = xkey(id) .. ':segments'
if x.completed_at ~= ARGV[2] or (x.events or '0') ~= ARGV[3] or (x.entries or '0') ~= ARGV[4]
    or int(redis.call('ZCARD', segments)) ~= ARGV[5] or (x.usage or '') ~= ARGV[7] then return 'changed' end
redis.call('DEL', xkey(id), xkey(id) .. ':events', xkey(id) .. ':output', segments, P .. 'usage:' .. id, xkey(id) .. ':metrics')
redis.call('HSET', xkey(id), 'state', x.state, 'completed_at', x.completed_at)
write(xkey(id), cjson.decode(ARGV[6]))
redis.call('ZREM', P .. 'ended', id)
redis.call('ZADD', P .. 'packed:files', x.completed_at, id)
return 'ok'
