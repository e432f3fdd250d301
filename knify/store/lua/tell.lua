-- What a gateway, or who enters a shell, has to tell about an execution, into its history: each once.
-- ARGV: id, then for each: mark, stage, level, detail
-- Returns: 'ok' | 'ended' (it has, or is gone: nothing is told)
-- No flood of refusals leaves an administrator's entering out.
-- A budget that is used up is remembered, for its owner to find (renew.lua), who hears of it at once.
local id = ARGV[1]
local x = redis.call('HMGET', xkey(id), 'tenant', 'completed_at', 'node')
if not x[1] or x[2] then return 'ended' end
local key, ts = P .. 'told:' .. id, now()
for i = 2, #ARGV, 4 do
  local mark, stage, level, detail = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local is_over = stage == 'budget_exceeded'
  local has_room = is_over or stage == 'shell_entered' or redis.call('HLEN', key) < 2000
  if has_room and redis.call('HSETNX', key, 'at:' .. mark, '') == 1 then
    event(id, ts, stage, level, detail)
    if is_over then
      redis.call('HSET', key, 'over', detail)
      if x[3] then redis.call('PUBLISH', P .. 'node:' .. x[3], 'budget ' .. id) end
    end
  end
end
return 'ok'
