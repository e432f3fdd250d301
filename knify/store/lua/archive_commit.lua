-- The archive is complete: from here on it is the sandbox, unless a turn came meanwhile.
-- ARGV: sandbox id, node, key of the object, size, sha256, states that it may come from (JSON)
-- Returns: 'archived' | 'given up'
local id, node, key, size, sha256 = unpack(ARGV)
local s, ts = record(skey(id)), now()
if not s then return 'given up' end
if s.archive == key then return 'archived' end -- this very call, repeated after a lost answer
local allowed = false
for _, state in ipairs(cjson.decode(ARGV[6])) do allowed = allowed or state == s.state end
local idle = redis.call('LLEN', skey(id) .. ':turns') == 0
if not allowed or not idle or s.node ~= node or s.archiving ~= key or tonumber(s.archiving_until) <= ts then
  return 'given up'
end
become_archive(id, s, key, size, sha256, ts)
leave(id, node)
return 'archived'
