-- Take deliveries whose time has come. Who dies with one loses it when its lease runs out, and it is
-- tried again: at least once.
-- ARGV: most for webhooks that are well, most for those that are ill, lease ms, token
-- Returns: {ms until there is something to do for these, or '',
--           {webhook, url, secret, '1' if it is ill, HGETALL of the delivery}…}
local lease, token, ts, found = tonumber(ARGV[3]), ARGV[4], now(), {}

local function take(webhook, busy, ill)
  local key = wkey(webhook)
  local id = redis.call('ZRANGEBYSCORE', key .. ':due', '-inf', int(ts), 'LIMIT', 0, 1)[1]
  if not id or not hooks.has_room(webhook, busy) then return false end
  local delivery = dkey(webhook, id)
  redis.call('ZREM', key .. ':due', id)
  redis.call('ZADD', key .. ':leased', int(ts + lease), id)
  redis.call('HSET', key, 'served_at', int(ts))
  redis.call('HINCRBY', delivery, 'attempts', 1)
  redis.call('HINCRBY', delivery, 'tries', 1)
  redis.call('HSETNX', delivery, 'first_at', int(ts))
  redis.call('HSET', delivery, 'token', token, 'status', 'sending', 'last_at', int(ts))
  redis.call('HDEL', delivery, 'next_at')
  local held = redis.call('HMGET', key, 'url', 'secret')
  found[#found + 1] = {webhook, held[1], held[2], ill, redis.call('HGETALL', delivery)}
  return true
end

-- What the dead were at may be tried again.
local function revive(webhook)
  local key = wkey(webhook)
  local dead = hooks.dead(webhook, ts)
  for _, id in ipairs(dead) do
    redis.call('ZREM', key .. ':leased', id)
    redis.call('ZADD', key .. ':due', int(ts), id)
    redis.call('HSET', dkey(webhook, id), 'status', 'pending')
    redis.call('HDEL', dkey(webhook, id), 'token')
  end
  return #dead > 0
end

-- What a clock that stepped back has left in the future is due now.
local function bring_back(webhook)
  local key, far = wkey(webhook), int(ts + hooks.far)
  redis.call('HDEL', key, 'served_at')
  for _, list in ipairs({'due', 'leased'}) do
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', key .. ':' .. list, far, '+inf')) do
      redis.call('ZADD', key .. ':' .. list, int(ts), id)
    end
  end
end

local wait
for _, kind in ipairs({{'due', tonumber(ARGV[1]), ''}, {'ill', tonumber(ARGV[2]), '1'}}) do
  local index, left = P .. 'webhooks:' .. kind[1], kind[2]
  for _, webhook in ipairs(redis.call('ZRANGEBYSCORE', index, int(ts + hooks.far), '+inf', 'LIMIT', 0, 10)) do
    bring_back(webhook)
    redis.call('ZADD', index, int(ts), webhook)
  end
  while left > 0 do
    local webhook = redis.call('ZRANGEBYSCORE', index, '-inf', int(ts), 'LIMIT', 0, 1)[1]
    if not webhook then break end
    local tenant = redis.call('HGET', wkey(webhook), 'tenant')
    if tenant then
      local freed, busy = revive(webhook), hooks.busy(tenant, ts)
      if take(webhook, busy, kind[3]) then left, busy = left - 1, busy + 1 end
      hooks.schedule(webhook, busy)
      if freed then hooks.reschedule(tenant, ts) end
    else
      redis.call('ZREM', index, webhook)
    end
  end
  local first = tonumber(redis.call('ZRANGE', index, 0, 0, 'WITHSCORES')[2])
  if left > 0 and first then wait = math.min(wait or first, first) end
end
return {wait and int(math.max(0, wait - ts)) or '', unpack(found)}
