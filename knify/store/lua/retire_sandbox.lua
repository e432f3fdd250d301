-- Delete a sandbox: the record at once, its container and volumes by the node's workers.
-- ARGV: sandbox id, 'expired' or ''
-- Returns: {'missing'} | {'busy', ids of its turns…} | {'again'} | {'deleted', node or ''}
local id, expired = ARGV[1], ARGV[2]
local s = record(skey(id))
if not s then
  redis.call('ZREM', P .. 'sandboxes:expiry', id)
  return {'missing'}
end
local turns = redis.call('LRANGE', skey(id) .. ':turns', 0, -1)
if #turns > 0 then
  table.insert(turns, 1, 'busy')
  return turns
end
redis.call('ZREM', P .. 'sandboxes:expiry', id)
if s.state == 'deleted' then return {'again'} end
redis.call('HSET', skey(id), 'state', 'deleted', 'state_changed_at', int(now()))
if expired ~= '' then redis.call('HSET', skey(id), 'expired', '1') end
if s.node then redis.call('SADD', P .. 'node:' .. s.node .. ':removals', id) end
return {'deleted', s.node or ''}
