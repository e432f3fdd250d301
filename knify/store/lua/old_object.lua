-- Whether an object that is to be deleted may be: not while a workspace version has its files in it, or
-- its sandbox's record names it. That of an
-- archiving may be the only copy, if Redis was put back to a moment before the commit.
-- ARGV: key, id of its sandbox or workspace, ms until the next look at one that is kept
-- Returns: '1' | ''
local key = ARGV[1]
if string.sub(key, 1, 11) == 'workspaces/' then
  local w = P .. 'w:' .. ARGV[2]
  if redis.call('EXISTS', w .. ':versions') == 0 and redis.call('HGET', w, 'key') ~= key then return '1' end
  redis.call('ZREM', P .. 'objects:removals', key)
  return ''
end
local s = redis.call('HMGET', skey(ARGV[2]), 'state', 'archive', 'archiving')
if not s[1] or s[1] == 'deleted' then return '1' end
if s[2] == key then
  redis.call('ZREM', P .. 'objects:removals', key)
  return ''
end
if s[3] ~= key then return '1' end
discard(key, now() + tonumber(ARGV[3]))
return ''
