-- A failed run is not tried again, because somebody cancels it.
-- ARGV: id, reason
-- Returns: '1' | '' (it does not wait for a retry)
local x = record(xkey(ARGV[1]))
return x and runs.call_off(ARGV[1], x, ARGV[2], now()) and '1' or ''
