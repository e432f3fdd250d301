-- Begin to forget a terminal execution. It leaves every list at once; then its objects go, and at
-- last, by `forget.lua`, what is left of it here.
-- ARGV: id, 'idle' (only when its sandbox is gone) or '', ms after which to look again else,
--       words of its metadata…
-- Returns: 'expiring' | 'kept' | 'alive' (not terminal) | 'missing'
local id = ARGV[1]
local x = record(xkey(id))
if not x then
  for _, set in ipairs({'ended', 'packed', 'packed:files', 'expiring', 'deleting'}) do redis.call('ZREM', P .. set, id) end
  return 'missing'
end
if x.expiring then return 'expiring' end
if not x.completed_at then return 'alive' end
local row = facts(x)
local sandbox = redis.call('HGET', skey(row.sandbox_id), 'state')
local ts = now()
if ARGV[2] == 'idle' and sandbox and sandbox ~= 'deleted' then
  redis.call('ZADD', P .. 'packed', 'XX', int(ts + tonumber(ARGV[3])), id)
  return 'kept'
end
local tenant, at = P .. 't:' .. row.tenant, moment(row.tenant, id)
for _, word in ipairs(kinds(x.state, row)) do redis.call('ZREM', tenant .. ':terms', term(word, at)) end
for i = 4, #ARGV do redis.call('ZREM', tenant .. ':terms', term(ARGV[i], at)) end
redis.call('ZREM', tenant .. ':x', id)
unname(id, row)
runs.leave(id, row, x.state, ts)
if redis.call('EXISTS', tenant .. ':x') == 0 then redis.call('DEL', tenant .. ':types') end
for _, set in ipairs({'ended', 'packed', 'packed:files'}) do redis.call('ZREM', P .. set, id) end
redis.call('HSET', xkey(id), 'expiring', int(ts))
redis.call('ZADD', P .. 'expiring', int(ts), id)
return 'expiring'
