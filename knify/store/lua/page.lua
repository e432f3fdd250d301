-- Some of a tenant's executions, newest first, that have one of some words, or all of them.
-- ARGV: tenant, words (JSON; empty: all executions), before, after (moments, exclusive), how many
--       newer ones to leave out, at most
-- Returns: {total, moment, id, moment, id, …}
local tenant, words = P .. 't:' .. ARGV[1], cjson.decode(ARGV[2])
local before, after, offset, limit = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local all, terms = tenant .. ':x', tenant .. ':terms'

-- How many of a word have a moment from `from` on, and are older than `before`.
local function count(word, from)
  return redis.call('ZLEXCOUNT', terms, '[' .. term(word, from), '(' .. term(word, before))
end

-- Some moments of a word, newest first. Skipping by rank costs the same wherever it leads.
local function some(word, skip, most)
  local older = redis.call('ZLEXCOUNT', terms, '-', '(' .. term(word, before))
  local last = older - 1 - skip
  local first = math.max(last - most + 1, older - count(word, after + 1))
  if last < first then return {} end
  local found = redis.call('ZRANGE', terms, int(first), int(last))
  local moments = {}
  for i = #found, 1, -1 do moments[#moments + 1] = tonumber(string.sub(found[i], -13), 16) end
  return moments
end

local function name(at)
  return redis.call('ZRANGEBYSCORE', all, int(at), int(at), 'LIMIT', 0, 1)[1]
end

local answer = {}
if #words == 0 then
  local low, high = '(' .. int(after), '(' .. int(before)
  answer[1] = redis.call('ZCOUNT', all, low, high)
  local first = redis.call('ZCOUNT', all, int(before), '+inf') + offset
  local last = math.min(first + limit, first - offset + answer[1]) - 1
  if last < first then return answer end
  local found = redis.call('ZREVRANGE', all, int(first), int(last), 'WITHSCORES')
  for i = 1, #found, 2 do
    answer[#answer + 1] = found[i + 1]
    answer[#answer + 1] = found[i]
  end
  return answer
end

local used, total = {}, 0
for _, word in ipairs(words) do
  local n = count(word, after + 1)
  if n > 0 then used[#used + 1] = word end
  total = total + n
end
answer[1] = total
if offset >= total then return answer end
if #used > 1 and offset > 0 then
  -- The moment behind which exactly `offset` are newer, by halving; moments are unique.
  local function newer(from)
    local n = 0
    for _, word in ipairs(used) do n = n + count(word, from) end
    return n
  end
  local low = math.max(after + 1, tonumber(redis.call('ZRANGE', all, 0, 0, 'WITHSCORES')[2]))
  local high = math.min(before, tonumber(redis.call('ZRANGE', all, -1, -1, 'WITHSCORES')[2]) + 1)
  while true do
    local middle = math.floor((low + high) / 2)
    local n = newer(middle)
    if n == offset then
      before = middle
      break
    elseif n > offset then low = middle + 1
    else high = middle end
    if low >= high then
      before = low
      break
    end
  end
  offset = 0
end
local moments = {}
for _, word in ipairs(used) do
  for _, at in ipairs(some(word, offset, limit)) do moments[#moments + 1] = at end
end
table.sort(moments, function(a, b) return a > b end)
for i = 1, math.min(limit, #moments) do
  answer[#answer + 1] = int(moments[i])
  answer[#answer + 1] = name(moments[i])
end
return answer
