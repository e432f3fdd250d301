-- Of a tenant's executions, newest first, the moments of those that have a word of each group.
-- It walks the group with the fewest, and ends soon: blocking nobody for long.
-- ARGV: tenant, groups (JSON: lists of words), before, after (moments, exclusive), about how many
--       look-ups to make, how many matches to leave out, and to return at most
-- Returns: {how many there are to look at, how many this call looked at, look-ups, oldest moment
--           that it looked at ('' when none is left), how many of them match, moment, moment, …}
local terms, groups = P .. 't:' .. ARGV[1] .. ':terms', cjson.decode(ARGV[2])
local before, after, most = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local skip, limit = tonumber(ARGV[6]), tonumber(ARGV[7])
local SLICE = math.min(32, most) -- of what is looked at, between two looks at what has been spent
local spent = 0

-- A group's words that anything has, the most frequent first, and how much that is.
local function counted(words)
  local used, total = {}, 0
  for _, word in ipairs(words) do
    local n = redis.call('ZLEXCOUNT', terms, '(' .. term(word, after), '(' .. term(word, before))
    if n > 0 then used[#used + 1] = {text = word, n = n, upto = term(word, before), got = {}, at = 1} end
    total = total + n
  end
  table.sort(used, function(a, b) return a.n > b.n end)
  return {words = used, total = total}
end

-- The newest moments (texts of 13 digits) of a group, at least so many if there are, and no gap
-- between them; oldest first. And whether these are all.
local function newest(words, least)
  local each, found = math.max(8, math.ceil(least / #words)), {}
  while true do
    local cut = '' -- down to which all words' moments are here
    for _, word in ipairs(words) do
      if word.at > #word.got and not word.all then
        word.got, word.at = redis.call('ZRANGE', terms, '(' .. word.upto, '(' .. term(word.text, after),
          'BYLEX', 'REV', 'LIMIT', 0, each), 1
        spent, word.all = spent + #word.got, #word.got < each
        word.upto = word.got[#word.got] or word.upto
      end
      local oldest = string.sub(word.upto, -13)
      if not word.all and oldest > cut then cut = oldest end
    end
    for _, word in ipairs(words) do
      while word.got[word.at] and string.sub(word.got[word.at], -13) >= cut do
        found[#found + 1], word.at = string.sub(word.got[word.at], -13), word.at + 1
      end
    end
    if cut == '' or #found >= least then
      table.sort(found)
      return found, cut == ''
    end
  end
end

-- Those of some moments that have one of the words, in their order.
local function having(moments, words)
  local hit, open, kept = {}, moments, {}
  for _, word in ipairs(words) do
    if #open == 0 then break end
    local members, rest = {}, {}
    for i, at in ipairs(open) do members[i] = word.text .. at end
    spent = spent + #members
    for i, score in ipairs(redis.call('ZMSCORE', terms, unpack(members))) do
      if score then hit[open[i]] = true else rest[#rest + 1] = open[i] end
    end
    open = rest
  end
  for _, at in ipairs(moments) do if hit[at] then kept[#kept + 1] = at end end
  return kept
end

for g, words in ipairs(groups) do
  spent = spent + #words
  groups[g] = counted(words)
end
table.sort(groups, function(a, b) return a.total < b.total end)
local fewest = table.remove(groups, 1)
if fewest.total == 0 then return {0, 0, spent, '', 0} end

local seen, all = newest(fewest.words, math.ceil(most / (1 + #groups)))
local left, matches = #seen, {}
while left > 0 and (spent < most or left == #seen) do
  local slice = {}
  for i = left, math.max(1, left - SLICE + 1), -1 do slice[#slice + 1] = seen[i] end
  left = left - #slice
  for _, group in ipairs(groups) do slice = having(slice, group.words) end
  for _, at in ipairs(slice) do matches[#matches + 1] = at end
end
local last = not (all and left == 0) and int(tonumber(seen[left + 1], 16)) or ''
local answer = {fewest.total, #seen - left, spent, last, #matches}
for i = skip + 1, math.min(#matches, skip + limit) do answer[#answer + 1] = int(tonumber(matches[i], 16)) end
return answer
