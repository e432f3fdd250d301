-- Let turns come again, and note what was done meanwhile.
-- ARGV: sandbox id, node, owner, done: 'stopped', 'removed', 'left' (not by us, perhaps later:
--       the hold lasts its time) or ''
-- Returns: id of the turn that may go on now, or ''
local id, node, owner, done = unpack(ARGV)
local key = hkey(node, id)
if redis.call('HGET', key, 'owner') ~= owner then return '' end
if done == 'left' then
  redis.call('HSET', key, 'left', '1')
  return ''
end
redis.call('DEL', key)
local ts = now()
if done == 'removed' then redis.call('SREM', P .. 'node:' .. node .. ':removals', id) end
if done == 'stopped' then
  if redis.call('HGET', skey(id), 'node') == node then redis.call('HDEL', skey(id), 'hot_until') end
  shelve(id, ts)
end
local turn = redis.call('LINDEX', skey(id) .. ':turns', 0)
if turn then redis.call('ZADD', P .. 'due', 'XX', int(ts), turn) end
return turn or ''
