-- Somebody wants an execution to be gone. It leaves every list at once, and no webhook hears what
-- becomes of it; what is not terminal ends first. The sweep goes on with it until nothing is left.
-- ARGV: id, words of its metadata…
-- Returns: '1' | '' (no such execution)
local id = ARGV[1]
local x = record(xkey(id))
if not x or x.expiring then return '' end
local row, ts = facts(x), now()
local tenant = P .. 't:' .. row.tenant
local at = moment(row.tenant, id)
for _, word in ipairs(kinds(x.state, row)) do redis.call('ZREM', tenant .. ':terms', term(word, at)) end
for i = 2, #ARGV do redis.call('ZREM', tenant .. ':terms', term(ARGV[i], at)) end
redis.call('ZREM', tenant .. ':x', id)
unname(id, row)
runs.leave(id, row, x.state, ts)
redis.call('ZREM', tenant .. ':pending', id)
if redis.call('EXISTS', tenant .. ':x') == 0 then redis.call('DEL', tenant .. ':types') end
redis.call('HSET', xkey(id), 'deleting', int(ts))
redis.call('ZADD', P .. 'deleting', 'NX', int(ts), id)
relist(row.tenant, id)
return '1'
