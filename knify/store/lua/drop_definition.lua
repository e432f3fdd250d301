-- A definition is gone for everybody, and due no more; the sweep goes on until its runs are gone, too.
-- ARGV: id
-- Returns: its runs that have not ended
local id = ARGV[1]
local d, ts = record(jkey(id)), now()
if not d then return {} end
if not d.dropped then
  local project = pkey(d.tenant, d.project)
  redis.call('HSET', jkey(id), 'dropped', int(ts))
  redis.call('HDEL', project .. ':names', d.name)
  redis.call('ZREM', project, id)
  redis.call('ZREM', P .. 't:' .. d.tenant .. ':d', id)
  for _, tag in ipairs(cjson.decode(d.tags)) do redis.call('ZREM', project .. ':tag:' .. tag, id) end
  if redis.call('EXISTS', project) == 0 then redis.call('ZREM', P .. 't:' .. d.tenant .. ':p', d.project) end
  redis.call('ZREM', P .. 'cron', id)
  redis.call('ZADD', P .. 'dropping', int(ts), id)
end
return runs.replace(id, 'the job is deleted', ts)
