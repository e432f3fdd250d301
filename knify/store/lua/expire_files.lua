-- A packed execution's artifacts go: say so first ('begin'), and when the objects are gone ('done').
-- ARGV: id, 'begin' | 'done'
-- Returns: 'ok' | 'missing'
local id = ARGV[1]
local ended = redis.call('HGET', xkey(id), 'completed_at')
if not ended or redis.call('HEXISTS', xkey(id), 'expiring') == 1 then
  redis.call('ZREM', P .. 'packed:files', id)
  return 'missing'
end
if ARGV[2] == 'begin' then
  redis.call('HSET', xkey(id), 'files_expired_at', int(now()))
elseif redis.call('ZREM', P .. 'packed:files', id) == 1 then
  redis.call('ZADD', P .. 'packed', ended, id)
end
return 'ok'
