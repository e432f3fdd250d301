-- Let an API key open nothing any more.
-- ARGV: id, tenant, '1' to revoke even the last lasting admin key, ms for which a key has to last
--       to count as lasting, ms that a dead key is kept
local id, tenant, force, lasting, kept = ARGV[1], ARGV[2], ARGV[3] == '1', tonumber(ARGV[4]), tonumber(ARGV[5])
local ts, k = now(), record(P .. 'k:' .. ARGV[1])
if not k or k.tenant ~= tenant then return fail('NOT_FOUND') end
if k.revoked_at then return end

local function is_admin(scopes)
  for _, scope in ipairs(cjson.decode(scopes)) do
    if scope == 'admin' then return true end
  end
  return false
end

local function another_lasts()
  for _, other in ipairs(redis.call('SMEMBERS', P .. 't:' .. tenant .. ':k')) do
    local o = record(P .. 'k:' .. other)
    if other ~= id and o and not o.revoked_at and is_admin(o.scopes)
      and (not o.expires_at or tonumber(o.expires_at) > ts + lasting) then return true end
  end
  return false
end

if is_admin(k.scopes) and not force and not another_lasts() then return fail('LAST_ADMIN_KEY') end
redis.call('HSET', P .. 'k:' .. id, 'revoked_at', int(ts))
redis.call('PEXPIRE', P .. 'k:' .. id, int(kept))
