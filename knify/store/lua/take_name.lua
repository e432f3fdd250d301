-- Reserve a node's name, unless a living machine of another identity beats under it.
-- ARGV: node, machine, seconds that it lasts
-- Returns: '' | the facts of the one that holds the name
local key = P .. 'node:' .. ARGV[1]
local holder, beat = redis.call('GET', key .. ':machine'), redis.call('GET', key .. ':beat')
if holder and beat and holder ~= ARGV[2] then return beat end
redis.call('SET', key .. ':machine', ARGV[2], 'EX', ARGV[3])
return ''
