-- The end of what `expire.lua` began: the objects are gone. The last execution of a sandbox takes the
-- sandbox with it; its record stays for the days in which a node may still have to remove it.
-- ARGV: id, ms for which such a record stays
-- Returns: {sandbox that its node has to remove or '', node or ''}
local id = ARGV[1]
local x = record(xkey(id))
redis.call('ZREM', P .. 'expiring', id)
if not x or not x.expiring then return {'', ''} end
local row = facts(x)
-- Who stored something of it meanwhile leaves objects; they are looked for once more.
redis.call('ZADD', P .. 'forgotten', int(now()), id)
redis.call('ZREM', P .. 'deleting', id)
redis.call('DEL', xkey(id), xkey(id) .. ':events', xkey(id) .. ':output', xkey(id) .. ':segments', P .. 'usage:' .. id, xkey(id) .. ':metrics')
local key = skey(row.sandbox_id)
local s = record(key)
redis.call('LREM', key .. ':jobs', 0, id)
if not s or not s.executions or redis.call('HINCRBY', key, 'executions', -1) > 0 then return {'', ''} end
local node = ''
if s.state ~= 'deleted' then
  let_go(row.sandbox_id, s)
  delete_sandbox(row.sandbox_id, s.node, now())
  node = s.node or ''
end
redis.call('ZREM', P .. 'sandboxes:expiry', row.sandbox_id)
redis.call('ZREM', P .. 't:' .. row.tenant .. ':s', row.sandbox_id)
if s.node and redis.call('SISMEMBER', P .. 'node:' .. s.node .. ':removals', row.sandbox_id) == 1 then
  redis.call('PEXPIRE', key, ARGV[2])
else
  redis.call('DEL', key)
end
return {node ~= '' and row.sandbox_id or '', node}
