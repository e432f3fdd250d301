-- What lists show of executions.
-- ARGV: names of fields (JSON), ids…
-- Returns: for each id its fields as {name, value, name, value, …}. Where a field has a brief one
--          beside it (`brief_…`), that stands for it, and `is_brief` says so. Packed ones are whole.
local names = cjson.decode(ARGV[1])
local has_brief = {request = true, metadata = true}

local function fields(key)
  if redis.call('HEXISTS', key, 'row') == 1 then return redis.call('HGETALL', key) end
  local found, is_brief = {}, false
  local function add(name, value)
    found[#found + 1] = name
    found[#found + 1] = value
  end
  for _, name in ipairs(names) do
    local brief = has_brief[name] and redis.call('HGET', key, 'brief_' .. name)
    local value = brief or redis.call('HGET', key, name)
    is_brief = is_brief or brief
    if value then add(name, value) end
  end
  if is_brief then add('is_brief', '1') end
  return found
end

local rows = {}
for i = 2, #ARGV do rows[i - 1] = fields(xkey(ARGV[i])) end
return rows
