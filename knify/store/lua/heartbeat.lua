-- A node lives: what it offers, and the next who waits for it, in case room grew. Nothing is
-- written while a living machine of another identity beats under the same name, nor by a version that
-- is older than the store.
-- ARGV: node, facts (JSON), machine ('' for any), time of the beat in ms ('' for now), life of the
--       record (s), patience (ms), schema, images (JSON), capacity as pairs: slots, cpus, memory, disk, low (a reason;
--       absent if none)
-- Returns: {'', an id worth a hint or ''} | {facts of the one that holds the name, ''}
local node, machine, ts = ARGV[1], ARGV[3], now()
local key = P .. 'node:' .. node
if tonumber(redis.call('GET', P .. 'schema') or '0') > tonumber(ARGV[7]) then return fail('STORE_NEWER') end
local holder, beat = redis.call('GET', key .. ':machine'), redis.call('GET', key .. ':beat')
if holder and beat and machine ~= '' and holder ~= machine then return {beat, ''} end
if machine ~= '' then redis.call('SET', key .. ':machine', machine, 'EX', ARGV[5]) end
redis.call('SET', key .. ':beat', ARGV[2], 'EX', ARGV[5])
redis.call('ZADD', P .. 'nodes', ARGV[4] == '' and int(ts) or ARGV[4], node)
redis.call('ZREMRANGEBYSCORE', P .. 'nodes', '-inf', int(ts - 86400000))
redis.call('INCR', P .. 'clock')
redis.call('DEL', key .. ':capacity')
redis.call('HSET', key .. ':capacity', 'patience', ARGV[6], unpack(ARGV, 9))
admission.has_images(node, cjson.decode(ARGV[8]), ts)
return {'', admission.wake(ts, node) or ''}
