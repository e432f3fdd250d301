-- Let an idle sandbox live for some time from now on; it never expires earlier than it would have.
-- ARGV: id, ms from now on
-- Returns: when it expires, in ms
local id = ARGV[1]
local s = record(skey(id))
if not s then return fail('NOT_FOUND') end
if s.state == 'deleted' or s.doomed then return fail(s.expired and 'SANDBOX_EXPIRED' or 'SANDBOX_DELETED') end
if s.state == 'lost' then return fail('SANDBOX_LOST') end
if redis.call('LLEN', skey(id) .. ':turns') > 0 then return fail('SANDBOX_BUSY') end
if s.state == 'creating' then return fail('SANDBOX_NONE') end
local expires = int(math.max(tonumber(s.expires_at or '0'), now() + tonumber(ARGV[2])))
redis.call('HSET', skey(id), 'expires_at', expires)
redis.call('ZADD', P .. 'sandboxes:expiry', expires, id)
return expires
