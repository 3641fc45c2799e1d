-- Lists a part of the snapshots.
-- KEYS: the hash of snapshots. ARGV: the cursor, 0 at first.
-- Returns the next cursor, 0 at last; and of each snapshot its key, its ids, epoch and version with spaces between, and its
-- length.
local page = redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', 32)
local snapshots = {}
for i = 1, #page[2], 2 do
  local stamp = string.match(page[2][i + 1], '^(%d+%-%d+ %S+ %d+ %d+%-%d+) ')
  if stamp then
    local at = #snapshots
    snapshots[at + 1], snapshots[at + 2], snapshots[at + 3] = page[2][i], stamp, #page[2][i + 1]
  end
end
return {page[1], snapshots}
