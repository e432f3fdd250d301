-- Begin to forget a terminal execution. It leaves every list at once; then its objects go, and at
-- last, by `forget.lua`, what is left of it here.
-- ARGV: id, 'idle' (only when its sandbox is gone) or '', ms after which to look again else
-- Returns: 'expiring' | 'kept' | 'alive' (not terminal) | 'missing'
local id = ARGV[1]
local x = record(xkey(id))
if not x then
  for _, set in ipairs({'ended', 'packed', 'packed:files', 'expiring'}) do redis.call('ZREM', P .. set, id) end
  return 'missing'
end
if x.expiring then return 'expiring' end
if not x.completed_at then return 'alive' end
local row = x.row and cjson.decode(x.row) or x
local sandbox = redis.call('HGET', skey(row.sandbox_id), 'state')
local ts = now()
if ARGV[2] == 'idle' and sandbox and sandbox ~= 'deleted' then
  redis.call('ZADD', P .. 'packed', 'XX', int(ts + tonumber(ARGV[3])), id)
  return 'kept'
end
local index = P .. 't:' .. row.tenant .. ':x'
redis.call('ZREM', index, id)
redis.call('ZREM', index .. ':state:' .. x.state, id)
redis.call('ZREM', index .. ':type:' .. row.job_type, id)
for _, set in ipairs({'ended', 'packed', 'packed:files'}) do redis.call('ZREM', P .. set, id) end
redis.call('HSET', xkey(id), 'expiring', int(ts))
redis.call('ZADD', P .. 'expiring', int(ts), id)
return 'expiring'
