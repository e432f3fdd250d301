-- What due times come to: each moves its definition to the next one and makes its runs, in one step.
-- A due time is behind a definition for good when this was done: whoever comes late, or was read
-- before somebody changed the definition, changes nothing.
-- ARGV, for each definition: id, rev and due time as they were read, changes (JSON of texts; null
--       removes one), when to look at it again (ms, or ''), number of runs, and for each of those:
--       id, record (JSON of texts), sandbox id, sandbox (JSON), event detail, words (8 bytes each)
-- Returns: {runs that were made, for each of them where it is to be looked at (as of submit.lua), runs that were asked to end, definitions that had changed}
local made, looks, asked, stale = {}, {}, {}, {}
local ts, i = now(), 1
local fired = tonumber(redis.call('GET', P .. 'fired') or '0')

local function run(id, d, first)
  if d.policy == 'forbid' and redis.call('SCARD', jkey(id) .. ':live') > 0 then
    return 'an earlier run has not ended'
  end
  if redis.call('EXISTS', xkey(ARGV[first])) == 1 then return end
  if d.policy == 'replace' then
    for _, other in ipairs(runs.replace(id, 'replaced by a newer run', ts)) do asked[#asked + 1] = other end
  end
  local words = {}
  for word in string.gmatch(ARGV[first + 5], '........') do words[#words + 1] = word end
  local problem, look = accept(ARGV[first], cjson.decode(ARGV[first + 1]), ARGV[first + 2], ARGV[first + 3],
    ARGV[first + 4], words)
  if problem then return problem end
  made[#made + 1], looks[#looks + 1] = ARGV[first], look or '-'
end

while i <= #ARGV do
  local id, rev, at, changes, score, n = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4], tonumber(ARGV[i + 5])
  local d = redis.call('HMGET', jkey(id), 'rev', 'next_at', 'dropped', 'policy')
  if d[1] ~= rev or d[2] ~= at or d[3] then
    stale[#stale + 1] = id
    -- Who changed it has planned it; who fired it, too.
    if d[2] and redis.call('ZSCORE', P .. 'cron', id) then runs.plan(id, int(math.max(tonumber(d[2]), ts))) end
  else
    changes = cjson.decode(changes)
    write(jkey(id), changes)
    fired = math.max(fired, tonumber(changes.last_at))
    for k = 0, n - 1 do
      local skipped = run(id, {policy = d[4]}, i + 6 + 6 * k)
      if skipped then redis.call('HSET', jkey(id), 'skipped_at', int(ts), 'skip_reason', skipped) end
    end
    runs.plan(id, score)
  end
  i = i + 6 + 6 * n
end
redis.call('SET', P .. 'fired', int(fired))
return {made, looks, asked, stale}
