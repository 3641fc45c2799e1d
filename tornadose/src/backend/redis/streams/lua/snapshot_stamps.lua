-- Reads what kept snapshots are of. KEYS: the hash of snapshots. ARGV: keys.
-- Returns of each its two ids, its epoch and its version, with spaces between; an empty text for a key without one.
local stamps = {}
for i = 1, #ARGV do
  local kept = redis.call('HGET', KEYS[1], ARGV[i])
  stamps[i] = string.match(kept or '', '^(%d+%-%d+ %S+ %d+ %d+%-%d+) ') or ''
end
return stamps
