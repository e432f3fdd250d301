-- A node's heartbeat, unless a living machine of another identity beats under the same name.
-- ARGV: node, facts (JSON; '' only takes the name), machine ('' for any), time of the beat in ms ('' for now), seconds that it lasts
-- Returns: '' | the facts of the one that holds the name
local node, facts, machine = ARGV[1], ARGV[2], ARGV[3]
local key = P .. 'node:' .. node
local holder = redis.call('GET', key .. ':machine')
local beat = redis.call('GET', key .. ':beat')
if holder and beat and machine ~= '' and holder ~= machine then return beat end
local ts = now()
if machine ~= '' then redis.call('SET', key .. ':machine', machine, 'EX', ARGV[5]) end
if facts == '' then return '' end
redis.call('SET', key .. ':beat', facts, 'EX', ARGV[5])
redis.call('ZADD', P .. 'nodes', ARGV[4] == '' and int(ts) or ARGV[4], node)
redis.call('ZREMRANGEBYSCORE', P .. 'nodes', '-inf', int(ts - 86400000))
redis.call('INCR', P .. 'clock')
return ''
