-- Note that API keys were used, each at most once a minute.
-- ARGV: ids
local ts = now()
for _, id in ipairs(ARGV) do
  local key = P .. 'k:' .. id
  local seen = redis.call('HMGET', key, 'id', 'last_used_at')
  if seen[1] and (not seen[2] or tonumber(seen[2]) <= ts - 60000) then
    redis.call('HSET', key, 'last_used_at', int(ts))
  end
end
