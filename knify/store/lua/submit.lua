-- Accept an execution, exactly once per Idempotency-Key.
-- ARGV: id, record (JSON of strings), sandbox id, sandbox record (JSON, or '' to continue one),
--       idempotency key ('' for none), digest of the body, event detail, words (see terms.py)…
-- Returns: {'created', ''} | {'replayed', the first answer (JSON)}
local id, fields, sandbox_id, sandbox = ARGV[1], cjson.decode(ARGV[2]), ARGV[3], ARGV[4]
local idem, digest, detail = ARGV[5], ARGV[6], ARGV[7]
local ts = now()

if idem ~= '' then
  idem = P .. 'idem:' .. fields.tenant .. ':' .. idem
  local seen = redis.call('GET', idem)
  if seen then
    local first = cjson.decode(seen)
    if first.id == id then return {'created', ''} end -- this very call, after a lost answer
    if first.digest ~= digest then return fail('IDEMPOTENCY_CONFLICT') end
    return {'replayed', seen}
  end
end
-- Ids are made by Knify: one that exists is this very call, repeated after a lost answer.
if redis.call('EXISTS', xkey(id)) == 1 then return {'created', ''} end

if fields.task_id and fields.task_id ~= id then -- its user's choice; Knify's own are unique
  local names = P .. 't:' .. fields.tenant .. ':names'
  local own = redis.call('HMGET', xkey(fields.task_id), 'tenant', 'task_id', 'expiring', 'deleting')
  if redis.call('HEXISTS', names, fields.task_id) == 1
      or (own[1] == fields.tenant and own[2] and not own[3] and not own[4]) then
    return fail('DUPLICATE_TASK_ID')
  end
end

if fields.child_of then
  local refused = family.refuses(fields.child_of, fields.tenant)
  if refused then return fail(refused) end
end

local turns = skey(sandbox_id) .. ':turns'
if sandbox == '' then
  local s = record(skey(sandbox_id))
  if not s or (s.state == 'creating' and redis.call('LLEN', turns) == 0) then return fail('SANDBOX_NONE') end
  if s.state == 'deleted' or s.doomed then return fail(s.expired and 'SANDBOX_EXPIRED' or 'SANDBOX_DELETED') end
  if s.state == 'lost' then return fail('SANDBOX_LOST') end
  redis.call('ZREM', P .. 'sandboxes:expiry', sandbox_id)
  redis.call('HDEL', skey(sandbox_id), 'expires_at', 'archiving') -- who archives it gives up
else
  local new = cjson.decode(sandbox)
  if new.workspace_id then
    local workspace = P .. 'w:' .. new.workspace_id
    if redis.call('EXISTS', workspace) == 0 then return fail('WORKSPACE_NONE') end
    redis.call('SADD', workspace .. ':users', sandbox_id)
  end
  write(skey(sandbox_id), new)
  redis.call('ZADD', P .. 't:' .. fields.tenant .. ':s', int(ts), sandbox_id)
end
redis.call('HINCRBY', skey(sandbox_id), 'executions', 1)
redis.call('RPUSH', turns, id)
shelve(sandbox_id, ts)

local tenant = P .. 't:' .. fields.tenant
local t = redis.call('TIME')
local at = t[1] * 1000000 + t[2]
while redis.call('ZCOUNT', tenant .. ':x', int(at), int(at)) > 0 do at = at + 1 end
fields.created_at, fields.state_changed_at = int(math.floor(at / 1000)), int(ts)
write(xkey(id), fields)
if fields.task_id and fields.task_id ~= id then redis.call('HSET', tenant .. ':names', fields.task_id, id) end
redis.call('ZADD', tenant .. ':x', int(at), id)
if fields.child_of then family.join(fields.child_of, id, at) end
redis.call('ZADD', tenant .. ':pending', int(at), id)
for _, word in ipairs(kinds('pending', fields)) do redis.call('ZADD', tenant .. ':terms', 0, term(word, at)) end
for i = 8, #ARGV do redis.call('ZADD', tenant .. ':terms', 0, term(ARGV[i], at)) end
redis.call('SADD', tenant .. ':types', fields.job_type)
redis.call('ZADD', P .. 'due', int(ts), id)
event(id, ts, 'created', 'info', detail, 'pending')
signal(fields.tenant, id, ts, 'job.created')
if idem ~= '' then
  -- All that the answer says: it is given again even when the execution is gone.
  local first = {digest = digest, id = id, sandbox_id = sandbox_id, parent_id = fields.parent_id, session_id = fields.session_id}
  redis.call('SET', idem, cjson.encode(first), 'PX', 86400000)
end
return {'created', ''}
