-- Keep a new API key, unless its tenant has too many.
-- ARGV: id, record (JSON of strings), how many keys a tenant may have, ms that a dead key is kept
-- Returns: HGETALL of the record
local id, fields, most, kept = ARGV[1], cjson.decode(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local key = P .. 'k:' .. id
local there = redis.call('HGETALL', key)
if #there > 0 then return there end -- this very call, repeated after a lost answer
local all = P .. 't:' .. fields.tenant .. ':k'
if redis.call('SCARD', all) >= most then
  for _, other in ipairs(redis.call('SMEMBERS', all)) do
    if redis.call('EXISTS', P .. 'k:' .. other) == 0 then redis.call('SREM', all, other) end
  end
  if redis.call('SCARD', all) >= most then return fail('TOO_MANY_KEYS') end
end
fields.created_at = int(now())
write(key, fields)
redis.call('SADD', all, id)
if fields.expires_at then redis.call('PEXPIREAT', key, int(fields.expires_at + kept)) end
return redis.call('HGETALL', key)
