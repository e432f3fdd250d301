-- Add to what an execution took of models; the same addition sent twice counts once. A call's estimate
-- is replaced by an addition, too, whose numbers are the difference: they may be negative.
-- Behind its end the execution's own record is corrected as long as it is there.
-- ARGV: id, gateway (one life of it), number of the addition in that life, field, number…
-- Returns: {'live' or 'late', field, number… of the totals}; empty when nothing can be added any more
local id, gateway, n = ARGV[1], 'at:' .. ARGV[2], tonumber(ARGV[3])
local x = redis.call('HMGET', xkey(id), 'tenant', 'completed_at', 'row', 'expiring', 'usage')
if not x[1] or x[3] or x[4] then return {} end
local key = P .. 'usage:' .. id
-- Ended so long ago that the totals are gone: what the record says cannot be added to.
if x[2] and x[5] and redis.call('EXISTS', key) == 0 then return {} end
if #ARGV > 3 and tonumber(redis.call('HGET', key, gateway) or '0') < n then
  for i = 4, #ARGV, 2 do redis.call('HINCRBY', key, ARGV[i], ARGV[i + 1]) end
  redis.call('HSET', key, gateway, int(n))
  if x[2] then
    keep_usage(id)
    local function of(name) return tonumber(redis.call('HGET', key, name) or '0') end
    local cost = of('calls') > of('unpriced') and string.format(',"cost_usd":%.9f', of('nano_usd') / 1e9) or ''
    redis.call('HSET', xkey(id), 'usage', string.format(
      '{"input_tokens":%d,"cached_tokens":%d,"output_tokens":%d,"total_tokens":%d,"model_calls":%d%s}',
      of('input'), of('cached'), of('output'), of('input') + of('output'), of('calls'), cost))
  end
end
local totals = redis.call('HGETALL', key)
table.insert(totals, 1, x[2] and 'late' or 'live')
return totals
