-- Keep turns away from a sandbox's container on one node while it is stopped or removed there.
-- ARGV: sandbox id, node, owner, hold ms, purpose: 'stop' or 'remove'
-- Returns: {'held'} | {'kept' or 'stale' (beyond its time), holder} | {'refused'} (it is in use, or to be kept)
local id, node, owner, ms, purpose = unpack(ARGV)
local ts, key = now(), hkey(node, id)
local hold = hold_of(node, id, ts)
if hold then return {tonumber(hold['until']) > ts and 'kept' or 'stale', hold.owner} end
local s = record(skey(id))
local turn = redis.call('LINDEX', skey(id) .. ':turns', 0)
if purpose == 'stop' then
  if turn then return {'refused'} end
else
  if s and s.state ~= 'deleted' and s.node == node then return {'refused'} end
  if turn and redis.call('SISMEMBER', P .. 'node:' .. node .. ':active', turn) == 1 then return {'refused'} end
  redis.call('SADD', P .. 'node:' .. node .. ':removals', id) -- if we die, somebody comes back for it
end
redis.call('HSET', key, 'owner', owner, 'until', int(ts + tonumber(ms)))
redis.call('EXPIRE', key, 86400) -- no holder is at it for so long, and nobody may ever ask again
return {'held'}
