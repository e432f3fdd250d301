-- Begin to archive an idle sandbox. It stays usable: a turn that is submitted simply ends this.
-- ARGV: sandbox id, node, owner, limit ms, dead owner ('' or one proved dead)
-- Returns: {'begun', key for the object} | {'held', owner} | {'busy'} (not idle, not here, or hot)
local id, node, owner, limit, dead = unpack(ARGV)
local s, ts = record(skey(id)), now()
if not s or s.node ~= node or s.state ~= 'paused' or s.doomed or s.hot_until then return {'busy'} end
if redis.call('LLEN', skey(id) .. ':turns') > 0 then return {'busy'} end
if s.archiving and tonumber(s.archiving_until) > ts and s.archiver ~= owner and s.archiver ~= dead then
  return {'held', s.archiver}
end
-- Like a fence: no number of before a rollback comes again, an archive that Redis forgot may have it.
local n = int(math.max(tonumber(s.archives or '0'), least_fence()) + 1)
local key = 'sandboxes/' .. id .. '/' .. n .. '.tar.age'
local limit_at = int(ts + tonumber(limit))
redis.call('HSET', skey(id), 'archives', n, 'archiving', key, 'archiver', owner, 'archiving_until', limit_at)
discard(key, limit_at) -- whoever dies from here on leaves nothing behind for long
return {'begun', key}
