-- A workspace version goes, unless a sandbox still has to be made from it; with the last version that
-- has its files, their object goes too.
-- ARGV: id, most ids of jobs to answer
-- Returns: {'dropped', key of the object that goes, or ''} | {'used', id of a job, …} | {'missing'}
local id = ARGV[1]
local w = record(P .. 'w:' .. id)
if not w then return {'missing'} end
local users = redis.call('SMEMBERS', P .. 'w:' .. id .. ':users')
if #users > 0 then
  local answer = {'used'}
  for n = 1, math.min(#users, tonumber(ARGV[2])) do
    answer[#answer + 1] = redis.call('LINDEX', skey(users[n]) .. ':turns', 0) or nil
  end
  return answer
end
local index = P .. 't:' .. w.tenant .. ':w'
redis.call('ZREM', index, id)
redis.call('ZREM', index .. ':' .. w.name, id)
redis.call('DEL', P .. 'w:' .. id)
local object = string.match(w.key, '[^/]+$')
local versions = P .. 'w:' .. object .. ':versions'
redis.call('SREM', versions, id)
if redis.call('EXISTS', versions) == 1 then return {'dropped', ''} end
if redis.call('HGET', index .. 'd', w.sha256) == object then redis.call('HDEL', index .. 'd', w.sha256) end
discard(w.key, now())
return {'dropped', w.key}
