-- What some tasks are sorted by.
-- ARGV: name | started_at | state_changed_at, ids…
-- Returns: a value for each id, '' where there is none
local field, values = ARGV[1], {}
for i = 2, #ARGV do
  local found = redis.call('HMGET', xkey(ARGV[i]), field, 'completed_at')
  -- Nothing moves behind the end, and a packed one keeps only that.
  values[i - 1] = found[1] or (field == 'state_changed_at' and found[2]) or ''
end
return values
