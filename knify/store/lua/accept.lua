-- Accepting an execution: shared by all scripts, after runs.lua.
-- fields: its record; sandbox: the record of its new one (JSON, or '' to continue the one there is);
-- words: see terms.py. Returns nil and where it is to be looked at (`admission.arrive`; nil: nowhere, an
-- event will bring it), or the code of an error, and then nothing was written.
local accepted = {} -- the last moment of each tenant in this call: time stands still in a script
local function accept(id, fields, sandbox_id, sandbox, detail, words)
  local ts = now()
  local refused = runs.refusal(fields)
  if refused then return refused end
  if fields.task_id and fields.task_id ~= id then -- its user's choice; Knify's own are unique
    local names = P .. 't:' .. fields.tenant .. ':names'
    local own = redis.call('HMGET', xkey(fields.task_id), 'tenant', 'task_id', 'expiring', 'deleting')
    if redis.call('HEXISTS', names, fields.task_id) == 1
        or (own[1] == fields.tenant and own[2] and not own[3] and not own[4]) then
      return 'DUPLICATE_TASK_ID'
    end
  end

  if fields.child_of then
    local closed = family.refuses(fields.child_of, fields.tenant)
    if closed then return closed end
  end

  local turns = skey(sandbox_id) .. ':turns'
  if sandbox == '' then
    local s = record(skey(sandbox_id))
    if not s or (s.state == 'creating' and redis.call('LLEN', turns) == 0) then return 'SANDBOX_NONE' end
    if s.state == 'deleted' or s.doomed then return (s.expired and 'SANDBOX_EXPIRED' or 'SANDBOX_DELETED') end
    if s.state == 'lost' then return 'SANDBOX_LOST' end
    redis.call('ZREM', P .. 'sandboxes:expiry', sandbox_id)
    redis.call('HDEL', skey(sandbox_id), 'expires_at', 'archiving') -- who archives it gives up
    redis.call('RPUSH', skey(sandbox_id) .. ':jobs', id)
  else
    local new = cjson.decode(sandbox)
    if new.workspace_id then
      local workspace = P .. 'w:' .. new.workspace_id
      if redis.call('EXISTS', workspace) == 0 then return 'WORKSPACE_NONE' end
      redis.call('SADD', workspace .. ':users', sandbox_id)
    end
    -- Most have this one only, so it costs no list; and mostly its digits are the sandbox's own, and it
    -- is a job. Few bytes, since there are many.
    local prefix, digits = string.match(id, '^(%a+)_(%w+)$')
    new.first = id
    if prefix and 'sandbox_' .. digits == sandbox_id then new.first = prefix == 'job' and '' or prefix end
    write(skey(sandbox_id), new)
    redis.call('ZADD', P .. 't:' .. fields.tenant .. ':s', int(ts), sandbox_id)
  end
  redis.call('HINCRBY', skey(sandbox_id), 'executions', 1)
  redis.call('RPUSH', turns, id)
  shelve(sandbox_id, ts)

  local tenant = P .. 't:' .. fields.tenant
  local t = redis.call('TIME')
  local at = math.max(t[1] * 1000000 + t[2], (accepted[fields.tenant] or 0) + 1)
  while redis.call('ZCOUNT', tenant .. ':x', int(at), int(at)) > 0 do at = at + 1 end
  accepted[fields.tenant] = at
  fields.created_at, fields.state_changed_at, fields.tallied = int(math.floor(at / 1000)), int(ts), '1'
  tally(nil, 'pending', ts)
  write(xkey(id), fields)
  if fields.task_id and fields.task_id ~= id then redis.call('HSET', tenant .. ':names', fields.task_id, id) end
  redis.call('ZADD', tenant .. ':x', int(at), id)
  if fields.child_of then family.join(fields.child_of, id, at) end
  redis.call('ZADD', tenant .. ':pending', int(at), id)
  for _, word in ipairs(kinds('pending', fields)) do redis.call('ZADD', tenant .. ':terms', 0, term(word, at)) end
  for _, word in ipairs(words) do redis.call('ZADD', tenant .. ':terms', 0, term(word, at)) end
  runs.begin(id, fields, at, ts)
  redis.call('SADD', tenant .. ':types', fields.job_type)
  redis.call('ZADD', P .. 'due', int(ts), id)
  event(id, ts, 'created', 'info', detail, 'pending')
  signal(fields.tenant, id, ts, 'job.created')
  relist(fields.tenant, id)
  if redis.call('LINDEX', turns, 0) ~= id then return nil, nil end -- the end of the turn before it
  fields.sandbox_id = sandbox_id
  return nil, admission.arrive(ts, id, fields)
end
