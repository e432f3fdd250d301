-- Change what a sandbox's running job may reach; its node's gateway is told.
-- ARGV: sandbox id, fields of its policy (JSON), event detail
-- Returns: {'changed', execution} | {'idle'} | {'closed', execution} (it has no door)
local id = redis.call('LINDEX', skey(ARGV[1]) .. ':turns', 0)
local x = id and record(xkey(id))
if not x or x.completed_at or (x.state ~= 'ready' and x.state ~= 'running') then return {'idle'} end
if not x.node or redis.call('HEXISTS', P .. 'node:' .. x.node .. ':doors', id) == 0 then
  return {'closed', id}
end
redis.call('HSET', xkey(id), 'network', ARGV[2])
event(id, now(), 'network_changed', 'info', ARGV[3])
redis.call('PUBLISH', P .. 'node:' .. x.node, 'network ' .. id)
return {'changed', id}
