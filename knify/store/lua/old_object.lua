-- Whether an object that is to be deleted may be: not while its sandbox's record names it. That of an
-- archiving may be the only copy, if Redis was put back to a moment before the commit.
-- ARGV: key, sandbox id, ms until the next look at one that is kept
-- Returns: '1' | ''
local key = ARGV[1]
local s = redis.call('HMGET', skey(ARGV[2]), 'state', 'archive', 'archiving')
if not s[1] or s[1] == 'deleted' then return '1' end
if s[2] == key then
  redis.call('ZREM', P .. 'objects:removals', key)
  return ''
end
if s[3] ~= key then return '1' end
discard(key, now() + tonumber(ARGV[3]))
return ''
