-- Hold a node's counters against the executions that are active there, and correct them.
-- ARGV: node
-- Returns: {'right'} | {'corrected', members dropped, used before…, used now…} (cpus, memory, disk)
local node = ARGV[1]
local key = P .. 'node:' .. node .. ':used'
local sum, dropped = {0, 0, 0}, 0
for _, id in ipairs(redis.call('SMEMBERS', P .. 'node:' .. node .. ':active')) do
  local x = redis.call('HMGET', xkey(id), 'node', 'completed_at', 'needs')
  if x[1] ~= node or x[2] then
    redis.call('SREM', P .. 'node:' .. node .. ':active', id)
    dropped = dropped + 1
  else
    for i, amount in ipairs(admission.needs(x[3])) do sum[i] = sum[i] + amount end
  end
end
local answer, drifted = {'corrected', dropped}, dropped > 0
local used = redis.call('HMGET', key, 'cpus', 'memory', 'disk')
for i = 1, 3 do
  answer[#answer + 1] = tonumber(used[i]) or 0
  drifted = drifted or answer[#answer] ~= sum[i]
end
if not drifted then return {'right'} end
redis.call('HSET', key, 'cpus', int(sum[1]), 'memory', int(sum[2]), 'disk', int(sum[3]))
for i = 1, 3 do answer[#answer + 1] = sum[i] end
return answer
