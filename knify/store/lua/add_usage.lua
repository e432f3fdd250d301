-- Add to what an execution took of models; the same addition sent twice counts once.
-- ARGV: id, gateway (one life of it), number of the addition in that life, field, number…
-- Returns: HGETALL of the totals; empty when it has ended
local id, gateway, n = ARGV[1], 'at:' .. ARGV[2], tonumber(ARGV[3])
local x = redis.call('HMGET', xkey(id), 'tenant', 'completed_at')
if not x[1] or x[2] then return {} end
local key = P .. 'usage:' .. id
if tonumber(redis.call('HGET', key, gateway) or '0') < n then
  for i = 4, #ARGV, 2 do redis.call('HINCRBY', key, ARGV[i], ARGV[i + 1]) end
  redis.call('HSET', key, gateway, int(n))
end
return redis.call('HGETALL', key)
