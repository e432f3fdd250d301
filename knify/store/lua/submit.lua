-- Accept an execution, exactly once per Idempotency-Key.
-- ARGV: id, record (JSON of strings), sandbox id, sandbox record (JSON, or '' to continue one),
--       idempotency key ('' for none), digest of the body, event detail, words (see terms.py)…
-- Returns: {'created', the node that is to look at it, '' (any) or '-' (an event will bring it)} | {'replayed', the first answer (JSON)}
local id, fields, sandbox_id, sandbox = ARGV[1], cjson.decode(ARGV[2]), ARGV[3], ARGV[4]
local idem, digest, detail = ARGV[5], ARGV[6], ARGV[7]

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

local words = {}
for i = 8, #ARGV do words[#words + 1] = ARGV[i] end
local problem, look = accept(id, fields, sandbox_id, sandbox, detail, words)
if problem then return fail(problem) end
if idem ~= '' then
  -- All that the answer says: it is given again even when the execution is gone.
  local first = {digest = digest, id = id, sandbox_id = sandbox_id, parent_id = fields.parent_id, session_id = fields.session_id}
  redis.call('SET', idem, cjson.encode(first), 'PX', 86400000)
end
return {'created', look or '-'}
