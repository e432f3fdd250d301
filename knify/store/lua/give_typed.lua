-- Somebody types into a command that runs: keep it for the command's node, and tell that.
-- ARGV: id, 'input' or 'signal', text, how many may wait
-- Returns: 'ok' | 'full' | 'ended'
local id, kind, text, most = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local x = redis.call('HMGET', xkey(id), 'tenant', 'completed_at', 'node')
if not x[1] or x[2] then return 'ended' end
local key = xkey(id) .. ':typed'
if redis.call('XLEN', key) >= most then return 'full' end
redis.call('XADD', key, '*', 'k', kind, 'd', text)
if x[3] then redis.call('PUBLISH', P .. 'node:' .. x[3], 'typed ' .. id) end
return 'ok'
