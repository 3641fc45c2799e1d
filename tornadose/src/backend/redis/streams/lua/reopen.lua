#!lua
-- Forgets finishes that are old, and whose entries are trimmed: their keys are new. An entry for each tells all processes.
-- KEYS: the stream, the hash of finishes, the sorted set of their times; of a type with snapshots the hash of those.
-- ARGV: how many entries the stream keeps; after how many milliseconds a finish is old; how many to look at.
-- Returns how many were forgotten.
local time = redis.call('TIME')
local old = time[1] * 1000 + math.floor(time[2] / 1000) - ARGV[2]
local keys = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', old, 'LIMIT', 0, ARGV[3])
if #keys == 0 then return 0 end
-- What the user may not do is found out before anything is changed: no key is the empty text.
redis.call('HDEL', KEYS[2], '')
redis.call('ZREM', KEYS[3], '')
local first = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
local forgotten = 0
for i = 1, #keys do
  local id = redis.call('HGET', KEYS[2], keys[i])
  id = id and string.match(id, '^%S+')
  -- There is an entry at or before it as long as it is in the stream.
  local kept = id and first and #redis.call('XREVRANGE', KEYS[1], id, '-', 'COUNT', 1) > 0
  if not kept then
    redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'forget', '', 'reopen', keys[i])
    redis.call('HDEL', KEYS[2], keys[i])
    redis.call('ZREM', KEYS[3], keys[i])
    if KEYS[4] then redis.call('HDEL', KEYS[4], keys[i]) end
    forgotten = forgotten + 1
  end
end
return forgotten
