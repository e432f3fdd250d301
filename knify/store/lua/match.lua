-- Of a tenant's executions, newest first, the moments of those that have a word of each group.
-- It looks at the group with the fewest, and only at so many of it: blocking nobody for long.
-- ARGV: tenant, groups (JSON: lists of words), before, after (moments, exclusive), most to look at
-- Returns: {how many there are to look at, how many this call looked at, oldest moment that it
--           looked at ('' when none is left), moment, moment, …}
local terms, groups = P .. 't:' .. ARGV[1] .. ':terms', cjson.decode(ARGV[2])
local before, after, most = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])

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
if few == 0 then return {0, 0, ''} end

local seen = {} -- moments as texts of 13 digits
for _, word in ipairs(groups[fewest]) do
  local found = redis.call('ZRANGE', terms, '(' .. term(word, before), '(' .. term(word, after),
    'BYLEX', 'REV', 'LIMIT', 0, int(most))
  for _, member in ipairs(found) do seen[#seen + 1] = string.sub(member, -13) end
end
if #groups[fewest] > 1 then table.sort(seen, function(a, b) return a > b end) end
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
local answer = {few, looked, left}
for _, at in ipairs(seen) do answer[#answer + 1] = int(tonumber(at, 16)) end
return answer
