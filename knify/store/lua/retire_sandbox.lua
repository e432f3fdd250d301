-- Delete a sandbox: the record at once, its container and volumes by the node's workers.
-- ARGV: sandbox id, 'expired', 'force' or ''
-- Returns: {'missing'} | {'busy' or 'doomed', ids of its turns…} | {'again'} (deleted before, or not expired) | {'deleted', node or ''}
local id, how = ARGV[1], ARGV[2]
local s = record(skey(id))
if not s then
  redis.call('ZREM', P .. 'sandboxes:expiry', id)
  return {'missing'}
end
local turns = redis.call('LRANGE', skey(id) .. ':turns', 0, -1)
if #turns > 0 then
  if how == 'force' then redis.call('HSET', skey(id), 'doomed', '1') end
  table.insert(turns, 1, how == 'force' and 'doomed' or 'busy')
  return turns
end
if how == 'expired' and tonumber(s.expires_at or '0') > now() then return {'again'} end
redis.call('ZREM', P .. 'sandboxes:expiry', id)
if s.state == 'deleted' then return {'again'} end
let_go(id, s)
delete_sandbox(id, s.node, now())
if how == 'expired' then redis.call('HSET', skey(id), 'expired', '1') end
return {'deleted', s.node or ''}
