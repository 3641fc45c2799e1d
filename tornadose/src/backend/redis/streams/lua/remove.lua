#!lua
-- Appends the removal of a key, and forgets its finish.
-- KEYS: the stream, the hash of finishes, the sorted set of their times; of a type with snapshots the hash of those. ARGV:
-- how many entries the stream keeps; the key; `by`. Returns the id of the entry. Versions that know of no removals read the field `forget`.
-- What the user may not do is found out before anything is changed: no key is the empty text.
redis.call('HDEL', KEYS[2], '')
redis.call('ZREM', KEYS[3], '')
local id = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'forget', ARGV[2], 'remove', ARGV[2], 'by', ARGV[3])
redis.call('HDEL', KEYS[2], ARGV[2])
redis.call('ZREM', KEYS[3], ARGV[2])
if KEYS[4] then redis.call('HDEL', KEYS[4], ARGV[2]) end
return id
