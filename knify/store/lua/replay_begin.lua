-- Say what becomes of a request that came with an Idempotency-Key.
-- ARGV: name of the record, digest of the request, a fresh seed, who asks, for how long (ms) it works
-- Returns: {'mine', seed}: do it, with this seed | {'done', answer} | {'busy', ''}: another one does it
local key, digest, seed, owner, busy = P .. 'replay:' .. ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local ts = now()
local seen = record(key)
if not seen then
  seen = {digest = digest, seed = seed}
  write(key, seen)
  redis.call('PEXPIRE', key, 86400000)
end
if seen.digest ~= digest then return fail('IDEMPOTENCY_CONFLICT') end
if seen.answer then return {'done', seen.answer} end
-- Who does it is alive, or was a moment ago. This very call, after a lost answer, goes on.
if seen.owner and seen.owner ~= owner and tonumber(seen.busy_until) > ts then return {'busy', ''} end
redis.call('HSET', key, 'owner', owner, 'busy_until', int(ts + busy))
return {'mine', seen.seed}
