-- Give up an archiving: its object goes, the sandbox stays as it was.
-- ARGV: sandbox id, key of the object
local id, key = ARGV[1], ARGV[2]
local s = redis.call('HMGET', skey(id), 'archive', 'archiving')
if s[1] == key then return 'archived' end
if s[2] == key then redis.call('HDEL', skey(id), 'archiving', 'archiver', 'archiving_until') end
discard(key, now())
return 'given up'
