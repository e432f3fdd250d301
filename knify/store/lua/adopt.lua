-- A node says which sandboxes it holds: records that lost their node to a rollback get it back. One
-- that was restored here since then is what the node has, not the older archive.
-- ARGV: node, sandbox ids…
-- Returns: ids that were adopted
local node, adopted, ts = ARGV[1], {}, now()
local rolled = tonumber(redis.call('GET', P .. 'rolled_at') or '0')
for i = 2, #ARGV do
  local id = ARGV[i]
  local held = redis.call('HMGET', skey(id), 'state', 'node', 'state_changed_at')
  local change = nil
  if held[1] == 'creating' and not held[2] then
    change = {node = node}
  elseif held[1] == 'archived' and tonumber(held[3]) <= rolled
      and redis.call('SISMEMBER', P .. 'node:' .. node .. ':removals', id) == 0 then
    change = {node = node, state = 'paused', container = 'knify-' .. id, state_changed_at = int(ts)}
  end
  if change then
    write_sandbox(id, change)
    shelve(id, ts)
    adopted[#adopted + 1] = id
  end
end
return adopted
