-- Enter an execution of a store of schema 2 into the indexes of schema 3. Repeated, it changes nothing;
-- in a store that another process has upgraded meanwhile, either: its executions may have gone on.
-- ARGV: id, changed fields (JSON), words of its metadata…
-- Returns: '1' | '' (left as it is) | 'done' (the store is upgraded)
local id = ARGV[1]
if tonumber(redis.call('GET', P .. 'schema') or '3') >= 3 then return 'done' end
local x = record(xkey(id))
local row = x and facts(x)
if not x or x.expiring or not row.tenant then return '' end
local tenant = P .. 't:' .. row.tenant
local at = moment(row.tenant, id)
if at < 1e14 then -- it was in ms
  at = (at > 0 and at or tonumber(row.created_at)) * 1000
  while redis.call('ZCOUNT', tenant .. ':x', int(at), int(at)) > 0 do at = at + 1 end
  redis.call('ZADD', tenant .. ':x', int(at), id)
end
redis.call('ZADD', tenant .. ':terms', 0, term(kind(x.state, row.job_type), at))
for i = 3, #ARGV do redis.call('ZADD', tenant .. ':terms', 0, term(ARGV[i], at)) end
redis.call('SADD', tenant .. ':types', row.job_type)
if x.state == 'pending' then redis.call('ZADD', tenant .. ':pending', int(at), id) end
write(xkey(id), cjson.decode(ARGV[2]))
return '1'
