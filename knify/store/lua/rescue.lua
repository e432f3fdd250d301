-- A sandbox whose node has nothing of it any more is the archive that was found: Redis, put back to an
-- older state, forgot that it became that, or became a newer one. Nothing happens if it changed meanwhile.
-- ARGV: sandbox id, node ('' when archived), its state_changed_at when it was missed, key of the object, size, sha256,
--       execution whose turn it is, and its fence ('' and '' for an idle one)
-- Returns: '1' | ''
local id, node, changed, key, size, sha256, turn, fence = unpack(ARGV)
local s, ts = record(skey(id)), now()
if s and s.archive == key and s.state == 'archived' then return '1' end -- repeated after a lost answer
local idle = s and (s.state == 'paused' or s.state == 'active' or s.state == 'archived')
if not idle or (s.node or '') ~= node or s.state_changed_at ~= changed then return '' end
if (redis.call('LINDEX', skey(id) .. ':turns', 0) or '') ~= turn then return '' end
if turn ~= '' and redis.call('HGET', xkey(turn), 'fence') ~= fence then return '' end
become_archive(id, s, key, size, sha256, ts)
leave(id, s.node)
-- Nothing is there to be removed, and who restores it just now must not be told so.
if turn ~= '' then redis.call('SREM', P .. 'node:' .. node .. ':removals', id) end
return '1'
