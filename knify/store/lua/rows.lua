-- What lists show of executions.
-- ARGV: names of fields (JSON), ids…
-- Returns: for each id its fields as {name, value, name, value, …}. Where a request or metadata has a
--          brief one beside it (`brief_…`), that stands for it, and `is_brief` says so. Packed ones
--          are whole.
local LONG = {'request', 'metadata'}
local names = {'row', 'brief_request', 'brief_metadata'}
for _, name in ipairs(cjson.decode(ARGV[1])) do
  if name ~= 'request' and name ~= 'metadata' then names[#names + 1] = name end
end

local function fields(key)
  local values = redis.call('HMGET', key, unpack(names))
  if values[1] then return redis.call('HGETALL', key) end
  local found = {}
  local function add(name, value)
    found[#found + 1] = name
    found[#found + 1] = value
  end
  for n = #LONG + 2, #names do if values[n] then add(names[n], values[n]) end end
  local is_brief = false
  for n, name in ipairs(LONG) do
    local brief = values[n + 1]
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
