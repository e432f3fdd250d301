-- Keep a new definition, or change one, as long as nobody else has.
-- ARGV: id, its rev as it was read ('' for a new one), fields (JSON of texts; null removes one),
--       tags (JSON), when to look at its next due time (ms, or ''), how many a tenant may have,
--       the last due time that was done with, as it was read
-- Returns: HGETALL of the record
local id, rev, fields, tags, score = ARGV[1], ARGV[2], cjson.decode(ARGV[3]), cjson.decode(ARGV[4]), ARGV[5]
local key, ts = jkey(id), now()
local d = record(key)
if rev == '' then
  if d then return redis.call('HGETALL', key) end -- this very call, repeated after a lost answer
  if redis.call('ZCARD', P .. 't:' .. fields.tenant .. ':d') >= tonumber(ARGV[6]) then
    return fail('TOO_MANY_DEFINITIONS')
  end
  d = {tenant = fields.tenant, project = fields.project, tags = '[]'}
  local t = redis.call('TIME')
  fields.moment, fields.created_at = int(t[1] * 1000000 + t[2]), int(ts)
elseif not d or d.dropped then return fail('DEFINITION_GONE')
elseif d.rev ~= rev or (d.last_at or '0') ~= ARGV[7] then return fail('DEFINITION_CHANGED') end

local project = pkey(d.tenant, d.project)
local bearer = redis.call('HGET', project .. ':names', fields.name)
if bearer and bearer ~= id then return fail('NAME_TAKEN') end
if d.name then redis.call('HDEL', project .. ':names', d.name) end
redis.call('HSET', project .. ':names', fields.name, id)
local moment_of = fields.moment or d.moment
for _, tag in ipairs(cjson.decode(d.tags)) do redis.call('ZREM', project .. ':tag:' .. tag, id) end
for _, tag in ipairs(tags) do redis.call('ZADD', project .. ':tag:' .. tag, moment_of, id) end
if rev == '' then
  redis.call('ZADD', P .. 't:' .. d.tenant .. ':p', 'NX', int(ts), d.project)
  redis.call('ZADD', P .. 't:' .. d.tenant .. ':d', moment_of, id)
  redis.call('ZADD', project, moment_of, id)
end
fields.tags, fields.updated_at = ARGV[4], int(ts)
write(key, fields)
runs.plan(id, score)
runs.trim(id, ts)
return redis.call('HGETALL', key)
