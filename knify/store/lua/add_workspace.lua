-- Add the next version of a named workspace. What its newest version holds already makes none; what
-- another version of the tenant holds is not kept twice: they share one object.
-- ARGV: id, record (JSON of strings, without version and created_at; its key is workspaces/OBJECT and
--       stands in the list of removals), object that was looked for and is gone ('' or OBJECT)
-- Returns: {'added' | 'unchanged', HGETALL of the version}
local id, fields, gone = ARGV[1], cjson.decode(ARGV[2]), ARGV[3]
local there = redis.call('HGETALL', P .. 'w:' .. id)
if #there > 0 then return {'added', there} end -- this very call, repeated after a lost answer
local ts, own, removals = now(), fields.key, P .. 'objects:removals'
local object = string.match(own, '[^/]+$')
local index = P .. 't:' .. fields.tenant .. ':w'
local name, contents = index .. ':' .. fields.name, index .. 'd'

local newest = redis.call('ZREVRANGE', name, 0, 0)[1]
if newest then
  local w = record(P .. 'w:' .. newest)
  if w and w.sha256 == fields.sha256 and w.key ~= 'workspaces/' .. gone then
    discard(own, ts)
    return {'unchanged', redis.call('HGETALL', P .. 'w:' .. newest)}
  end
end
-- Behind this time the sweeper may have deleted it.
local limit = redis.call('ZSCORE', removals, own)
if not limit or tonumber(limit) <= ts then return fail('UPLOAD_LATE') end

local same = redis.call('HGET', contents, fields.sha256)
if same and same ~= gone and redis.call('EXISTS', P .. 'w:' .. same .. ':versions') == 1 then
  fields.key = 'workspaces/' .. same
  discard(own, ts)
else
  same = object
  redis.call('HSET', contents, fields.sha256, object)
  redis.call('ZREM', removals, own)
end
redis.call('SADD', P .. 'w:' .. same .. ':versions', id)
-- A counter, not the newest one's number: a deleted version's number never comes again.
fields.version = int(redis.call('HINCRBY', index .. 'v', fields.name, 1))
fields.created_at = int(ts)
write(P .. 'w:' .. id, fields)
redis.call('ZADD', name, fields.version, id)
redis.call('ZADD', index, int(ts), id)
return {'added', redis.call('HGETALL', P .. 'w:' .. id)}
