-- Give an API key another secret.
-- ARGV: id, digest of the secret that it has, digest of the new one, ms for which the old one opens
-- Returns: HGETALL of the record
local key, was, new, grace = P .. 'k:' .. ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local ts, k = now(), record(P .. 'k:' .. ARGV[1])
if not k then return fail('NOT_FOUND') end
if k.digest == new then return redis.call('HGETALL', key) end -- this very call, repeated
if k.revoked_at or (k.expires_at and tonumber(k.expires_at) <= ts) then return fail('KEY_GONE') end
if k.digest ~= was then return fail('KEY_CHANGED') end
redis.call('HDEL', key, 'old_digest', 'old_until')
redis.call('HSET', key, 'digest', new, 'rotated_at', int(ts))
if grace > 0 then redis.call('HSET', key, 'old_digest', was, 'old_until', int(ts + grace)) end
return redis.call('HGETALL', key)
