-- What is due and unclaimed: to be hinted now, and again after `again` ms while nobody takes it.
-- Nothing is put further ahead than `far`, unless the clock stepped back since: that is due, too.
-- ARGV: again ms, at most, far ms
-- Returns: id, node of its sandbox or '', …
local ts = now()
local ids = redis.call('ZRANGEBYSCORE', P .. 'due', '-inf', int(ts), 'LIMIT', 0, ARGV[2])
local far = int(ts + tonumber(ARGV[3]))
for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. 'due', far, '+inf', 'LIMIT', 0, ARGV[2])) do
  ids[#ids + 1] = id
end
local answer = {}
for _, id in ipairs(ids) do
  redis.call('ZADD', P .. 'due', 'XX', int(ts + tonumber(ARGV[1])), id)
  local sandbox = redis.call('HGET', xkey(id), 'sandbox_id')
  answer[#answer + 1] = id
  answer[#answer + 1] = sandbox and redis.call('HGET', skey(sandbox), 'node') or ''
  if answer[#answer] == false then answer[#answer] = '' end
end
return answer
