-- The owner takes what was typed, once.
-- ARGV: id, fence
-- Returns: kind, text, kind, text…
local id, fence = ARGV[1], ARGV[2]
if redis.call('HGET', xkey(id), 'fence') ~= fence then return fail('LEASE_LOST') end
local key, found = xkey(id) .. ':typed', {}
for _, entry in ipairs(redis.call('XRANGE', key, '-', '+', 'COUNT', 64)) do
  redis.call('XDEL', key, entry[1])
  found[#found + 1], found[#found + 2] = entry[2][2], entry[2][4]
end
return found
