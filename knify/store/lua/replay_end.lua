-- Keep the answer to a request that came with an Idempotency-Key, or let go of it.
-- ARGV: name of the record, who worked, how it ended (answered | refused | failed), the answer,
--       how long it is kept (ms)
local key, owner, how = P .. 'replay:' .. ARGV[1], ARGV[2], ARGV[3]
if redis.call('HGET', key, 'owner') ~= owner then return end -- another one took it over
if how == 'answered' then
  redis.call('HDEL', key, 'owner', 'busy_until')
  redis.call('HSET', key, 'answer', ARGV[4])
  redis.call('PEXPIRE', key, ARGV[5])
elseif how == 'refused' then -- nothing was done: the next one may send another body
  redis.call('DEL', key)
else -- it may have been done: the next one does the same with the same seed
  redis.call('HDEL', key, 'owner', 'busy_until')
end
