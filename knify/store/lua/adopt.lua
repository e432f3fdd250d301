-- A node says which sandboxes it holds: records that lost their node to a rollback get it back.
-- ARGV: node, sandbox ids…
-- Returns: ids that were adopted
local node, adopted = ARGV[1], {}
for i = 2, #ARGV do
  local id = ARGV[i]
  local held = redis.call('HMGET', skey(id), 'state', 'node')
  if held[1] == 'creating' and not held[2] then
    write_sandbox(id, {node = node})
    adopted[#adopted + 1] = id
  end
end
return adopted
