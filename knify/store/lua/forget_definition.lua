-- The last of a dropped definition, when its runs are gone.
-- ARGV: id, ms until somebody looks again
-- Returns: '1' when it is gone | ''
local id = ARGV[1]
local key = jkey(id)
local left = redis.call('ZCARD', key .. ':runs') + redis.call('SCARD', key .. ':live')
if left > 0 then
  redis.call('ZADD', P .. 'dropping', 'XX', int(now() + tonumber(ARGV[2])), id)
  return ''
end
redis.call('DEL', key, key .. ':counts', key .. ':good', key .. ':bad', key .. ':spans', key .. ':ends')
redis.call('ZREM', P .. 'dropping', id)
return '1'
