-- A node lives: what it offers, and the next who waits for it, in case room grew.
-- ARGV: node, facts (JSON), ms by the node's clock, life of the record (s), life of the name (ms),
--       patience (ms), capacity as pairs: slots, cpus, memory, disk, low (a reason; absent if none)
-- Returns: an id worth a hint, or ''
local node, ts = ARGV[1], now()
local capacity = P .. 'node:' .. node .. ':capacity'
redis.call('SET', P .. 'node:' .. node .. ':beat', ARGV[2], 'EX', ARGV[4])
redis.call('ZADD', P .. 'nodes', ARGV[3], node)
redis.call('ZREMRANGEBYSCORE', P .. 'nodes', '-inf', int(ARGV[3] - ARGV[5]))
redis.call('DEL', capacity)
redis.call('HSET', capacity, 'patience', ARGV[6], unpack(ARGV, 7))
return admission.wake(ts, node) or ''
