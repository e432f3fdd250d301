-- Store output entries, each once, in order; sent twice, they are stored once.
-- ARGV: id, fence, number of the first entry, changes (JSON: lines, out_bytes, err_bytes), entries…
-- Returns: 'ok' | 'repeated'
local id, fence, first = ARGV[1], ARGV[2], tonumber(ARGV[3])
local held = redis.call('HMGET', xkey(id), 'fence', 'entries')
if held[1] ~= fence then return fail('LEASE_LOST') end
local stored = tonumber(held[2] or '0')
if #ARGV > 4 and stored == first + #ARGV - 5 then return 'repeated' end
if stored ~= first - 1 then return fail('OUT_OF_ORDER') end
local entries = {}
for i = 5, #ARGV do entries[#entries + 1] = ARGV[i] end
write(xkey(id), cjson.decode(ARGV[4]))
append(id, first, entries)
return 'ok'
