-- Keep what executions took of CPU and memory since the last look.
-- ARGV: at most how many points of one, and for each: id, fence, thousandths of a core, bytes
-- Returns: ''
local ts, most = now(), tonumber(ARGV[1])

-- Each two become one, so that there is room again: what is old is coarser.
local function halve(key)
  local points = redis.call('LRANGE', key, 0, -1)
  redis.call('DEL', key)
  for i = 1, #points, 2 do
    local _, cpu, memory = string.match(points[i], '(%d+) (%d+) (%d+)')
    -- A point stands at the end of the time that it is of.
    local at, other_cpu, other_memory = string.match(points[i + 1] or points[i], '(%d+) (%d+) (%d+)')
    redis.call('RPUSH', key, at .. ' ' .. int((cpu + other_cpu) / 2) .. ' ' .. int((memory + other_memory) / 2))
  end
end

for i = 2, #ARGV, 4 do
  local id = ARGV[i]
  local x = redis.call('HMGET', xkey(id), 'fence', 'completed_at')
  if x[1] == ARGV[i + 1] and not x[2] then
    local key = xkey(id) .. ':metrics'
    if redis.call('RPUSH', key, int(ts) .. ' ' .. ARGV[i + 2] .. ' ' .. ARGV[i + 3]) > most then halve(key) end
    redis.call('PUBLISH', xkey(id), 'metrics')
  end
end
return ''
