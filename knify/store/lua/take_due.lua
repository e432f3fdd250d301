-- Take definitions whose time has come, for a moment in which no other beat does.
-- ARGV: at most, ms of that moment
-- Returns: {Redis's time, each record (JSON)…}
local ts = now()
local taken = {int(ts)}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. 'cron', '-inf', int(ts), 'LIMIT', 0, ARGV[1])) do
  local d = record(jkey(id))
  if not d then redis.call('ZREM', P .. 'cron', id)
  else
    redis.call('ZADD', P .. 'cron', int(ts + tonumber(ARGV[2])), id)
    taken[#taken + 1] = cjson.encode(d)
  end
end
return taken
