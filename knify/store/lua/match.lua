-- Of a tenant's executions, newest first, the moments of those that have a word of each group.
-- It looks at the group with the fewest, and only at so many of it: blocking nobody for long.
-- ARGV: tenant, groups (JSON: lists of words), before, after (moments, exclusive), most to look at,
--       how many matches to leave out, at most
-- Returns: {how many there are to look at, how many this call looked at, oldest moment that it
--           looked at ('' when none is left), how many of them match, moment, moment, …}
local terms, groups = P .. 't:' .. ARGV[1] .. ':terms', cjson.decode(ARGV[2])
local before, after, most = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])

local skip, limit = tonumber(ARGV[6]), tonumber(ARGV[7])

-- Two lists of moments, newest first, as one.
local function merged(one, other)
  local found, i, j = {}, 1, 1
  while one[i] or other[j] do
    if not other[j] or (one[i] and one[i] > other[j]) then
      found[#found + 1], i = one[i], i + 1
    else
      found[#found + 1], j = other[j], j + 1
    end
  end
  return found
end

local fewest, few
for g, words in ipairs(groups) do
  local total, used = 0, {}
  for _, word in ipairs(words) do
    local n = redis.call('ZLEXCOUNT', terms, '(' .. term(word, after), '(' .. term(word, before))
    if n > 0 then used[#used + 1] = word end
    total = total + n
  end
  groups[g] = used
  if not fewest or total < few then fewest, few = g, total end
end
if few == 0 then return {0, 0, '', 0} end

local seen = {} -- moments as texts of 13 digits
for _, word in ipairs(groups[fewest]) do
  local found = redis.call('ZRANGE', terms, '(' .. term(word, before), '(' .. term(word, after),
    'BYLEX', 'REV', 'LIMIT', 0, int(most))
  for i, member in ipairs(found) do found[i] = string.sub(member, -13) end
  seen = #seen == 0 and found or merged(seen, found)
end
for i = #seen, most + 1, -1 do seen[i] = nil end
local looked, last = #seen, seen[#seen]
local left = few > looked and int(tonumber(last, 16)) or ''

for g, words in ipairs(groups) do
  if g ~= fewest then
    local hit = {}
    for _, word in ipairs(words) do
      local members = {}
      for i, at in ipairs(seen) do members[i] = word .. at end
      if #members > 0 then
        for i, score in ipairs(redis.call('ZMSCORE', terms, unpack(members))) do
          if score then hit[i] = true end
        end
      end
    end
    local kept = {}
    for i, at in ipairs(seen) do if hit[i] then kept[#kept + 1] = at end end
    seen = kept
  end
end
local answer = {few, looked, left, #seen}
for i = skip + 1, math.min(#seen, skip + limit) do answer[#answer + 1] = int(tonumber(seen[i], 16)) end
return answer
