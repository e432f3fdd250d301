-- Move an execution to another state, or only note an event (`to` is '').
-- ARGV: id, fence, from, to, terminal ('1' or ''), changes (JSON), stage, level, detail,
--       signal for webhooks ('' for none), sandbox changes (JSON), states that the sandbox may
--       come from (JSON), sandbox ttl ms,
--       number of the first output entry, output entries…
-- Returns: {HGETALL of the record…, n of hints, hints…} as {record, hints}
local id, fence, from, to, terminal = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local changes, stage, level, detail = cjson.decode(ARGV[6]), ARGV[7], ARGV[8], ARGV[9]
local kind, sandbox, sandbox_from = ARGV[10], cjson.decode(ARGV[11]), cjson.decode(ARGV[12])
local ttl, first = tonumber(ARGV[13]), tonumber(ARGV[14])
local x, problem = owned(id, fence)
if not x then return fail(problem) end
if x.state ~= from then return fail('ILLEGAL_TRANSITION') end
local ts = now()
local entries = {}
for i = 15, #ARGV do entries[#entries + 1] = ARGV[i] end
if #entries > 0 and tonumber(x.entries) ~= first - 1 then return fail('OUT_OF_ORDER') end

local s = record(skey(x.sandbox_id)) or {}
if sandbox.state then
  local here = s.state
  local allowed = false
  for _, state in ipairs(sandbox_from) do allowed = allowed or state == here end
  if not allowed then return fail('ILLEGAL_TRANSITION') end
end

for field, value in pairs(changes) do
  if value == '@now' then changes[field] = int(ts) end
end
write(xkey(id), changes)
if changes.started_at and x.definition then runs.start(id, x, ts) end
if next(sandbox) then
  if sandbox.state then
    sandbox.state_changed_at = int(ts)
    if sandbox.state ~= 'creating' then let_go(x.sandbox_id, s) end
  end
  if sandbox.hot_ms then -- left frozen, for so long
    sandbox.hot_until, sandbox.hot_ms = int(ts + tonumber(sandbox.hot_ms)), nil
  end
  write_sandbox(x.sandbox_id, sandbox)
end
if #entries > 0 then append(id, first, entries) end
if to ~= '' then move(id, x, to, ts) end
if stage ~= '' then event(id, ts, stage, level, detail, to) end
signal(x.tenant, id, ts, kind)
local hints = {}
if terminal == '1' then hints = finish(id, x, ts, ttl) end
return {redis.call('HGETALL', xkey(id)), hints}
