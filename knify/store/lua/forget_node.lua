-- A node that is not to come back: all that is known of it goes, so that nobody waits for it or is told
-- that it is away. Nothing happens while it lives, or holds something.
-- ARGV: node, '1' (whatever is still to be removed there) or ''
-- Returns: 'ok' | {what it still holds: executions, sandboxes, sandboxes to be removed, waiting executions}
local node = ARGV[1]
local key = P .. 'node:' .. node
if redis.call('EXISTS', key .. ':beat') == 1 then return fail('NODE_ALIVE') end
local held = {redis.call('SCARD', key .. ':active'), redis.call('SCARD', key .. ':sandboxes'),
  redis.call('SCARD', key .. ':removals'), redis.call('ZCARD', P .. 'oldest:' .. node)}
if ARGV[2] == '1' then held[3] = 0 end
for _, many in ipairs(held) do if many > 0 then return held end end
for _, image in ipairs(redis.call('SMEMBERS', key .. ':images')) do redis.call('ZREM', P .. 'image:' .. image, node) end
for _, part in ipairs({'machine', 'capacity', 'used', 'hold', 'images', 'orphans', 'doors', 'checkup', 'paused', 'hot', 'removals'}) do
  redis.call('DEL', key .. ':' .. part)
end
redis.call('HDEL', P .. 'draining', node)
redis.call('HDEL', P .. 'cordoned', node)
redis.call('ZREM', P .. 'nodes', node)
redis.call('DEL', 'knify.node.' .. node) -- hints that nobody will read
return 'ok'
