-- All of an execution but its output, as packing needs it: of one moment, in one call.
-- ARGV: id
-- Returns: {HGETALL…}, {{event id, {field, value…}}…}, {segments…}, {points…}
local id = ARGV[1]
return {
  redis.call('HGETALL', xkey(id)),
  redis.call('XRANGE', xkey(id) .. ':events', '-', '+'),
  redis.call('ZRANGE', xkey(id) .. ':segments', 0, -1),
  redis.call('LRANGE', xkey(id) .. ':metrics', 0, -1),
}
