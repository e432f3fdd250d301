-- An idle sandbox that its node does not have any more. Nothing happens if it moved meanwhile.
-- ARGV: sandbox id, node, its state_changed_at when it was missed, reason
-- Returns: '1' | ''
local id, node = ARGV[1], ARGV[2]
local s = record(skey(id))
local idle = s and (s.state == 'paused' or s.state == 'active')
if not idle or s.node ~= node or s.state_changed_at ~= ARGV[3] then return '' end
if redis.call('LLEN', skey(id) .. ':turns') > 0 then return '' end
write_sandbox(id, {state = 'lost', state_changed_at = int(now()), reason = ARGV[4]})
shelve(id, now())
return '1'
