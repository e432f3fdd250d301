-- End an execution whose sandbox lives on a node that has not been heard of for too long.
-- ARGV: id, node, ms without a heartbeat, reason, outcome (JSON), sandbox ttl ms, last output entry,
--       what it took of models (JSON, or '')
-- Returns: {'ended' | 'alive' | 'held' | 'early'} | {'lost', hints…}
local id, node, limit, reason = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local x = record(xkey(id))
if not x or x.completed_at then return {'ended'} end
local ts = now()
if ts - tonumber(redis.call('ZSCORE', P .. 'nodes', node) or '0') < limit then return {'alive'} end
local s = record(skey(x.sandbox_id))
if not s or s.node ~= node then return {'alive'} end
if x.owner and tonumber(x.lease_until) > ts then return {'held'} end
if ts - tonumber(x.state_changed_at) < limit then return {'early'} end
raise_fence(id, x, ts)
append(id, tonumber(x.entries) + 1, {ARGV[7]})
redis.call('HSET', xkey(id), 'error', reason, 'outcome', ARGV[5])
if ARGV[8] ~= '' then redis.call('HSET', xkey(id), 'usage', ARGV[8]) end
-- What runs there is stopped by the node's own repair, should it come back.
if s.state == 'active' then
  write_sandbox(x.sandbox_id, {state = 'paused', state_changed_at = int(ts)})
end
move(id, x, 'failed', ts)
event(id, ts, 'failed', 'error', reason, 'failed')
signal(x.tenant, id, ts, 'job.failed')
local hints = finish(id, x, ts, tonumber(ARGV[6]))
table.insert(hints, 1, 'lost')
return hints
