-- Extend the leases that a process holds.
-- ARGV: lease ms, then pairs: id, fence
-- Returns: for each pair 'ok' | 'cancel' (renewed; cancellation was asked for) | 'kill' (the same, at once)
--          | 'over' (renewed; its budget is used up) | 'lost'
local ts, lease = now(), tonumber(ARGV[1])
local answers = {}
for i = 2, #ARGV, 2 do
  local id, fence = ARGV[i], ARGV[i + 1]
  local held = redis.call('HMGET', xkey(id), 'fence', 'cancel_requested_at', 'completed_at', 'cancel_forced')
  if held[1] ~= fence or held[3] then
    answers[#answers + 1] = 'lost'
  else
    redis.call('HSET', xkey(id), 'lease_until', int(ts + lease))
    redis.call('ZADD', P .. 'due', 'XX', int(ts + lease), id)
    local over = redis.call('HEXISTS', P .. 'told:' .. id, 'over') == 1
    answers[#answers + 1] = held[4] and 'kill' or held[2] and 'cancel' or over and 'over' or 'ok'
  end
end
return answers
