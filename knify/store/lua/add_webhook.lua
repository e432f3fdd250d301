-- Keep a new webhook.
-- ARGV: id, record (JSON of strings), most webhooks of a tenant
-- Returns: HGETALL of the record
local id, fields = ARGV[1], cjson.decode(ARGV[2])
if redis.call('EXISTS', wkey(id)) == 0 then -- else this very call, after a lost answer
  if redis.call('SCARD', wlist(fields.tenant)) >= tonumber(ARGV[3]) then return fail('WEBHOOK_LIMIT') end
  fields.created_at = int(now())
  write(wkey(id), fields)
  redis.call('SADD', wlist(fields.tenant), id)
end
return redis.call('HGETALL', wkey(id))
