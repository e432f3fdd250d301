-- Whether Redis is older than what a process saw of it: restored from an older file, or emptied.
-- The first who notices raises the epoch, once for all. Repeated, it finds the epoch raised.
-- ARGV: highest epoch seen, highest clock seen in it
-- Returns: {epoch, clock, '1' if this call noticed a rollback, clock that it found}
local seen_epoch, seen = tonumber(ARGV[1]), tonumber(ARGV[2])
local epoch = tonumber(redis.call('GET', P .. 'epoch') or '0')
local found = tonumber(redis.call('GET', P .. 'clock') or '0')
local clock = found
local rolled = epoch < seen_epoch or (epoch == seen_epoch and clock < seen)
if rolled then
  epoch, clock = seen_epoch + 1, math.max(clock, seen)
  redis.call('SET', P .. 'epoch', int(epoch))
  redis.call('SET', P .. 'rolled_at', int(now()))
end
redis.call('SET', P .. 'clock', int(clock + 1))
return {int(epoch), int(clock + 1), rolled and '1' or '', int(found)}
