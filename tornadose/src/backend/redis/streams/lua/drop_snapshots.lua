-- Drops snapshots that are not newer than an id.
-- KEYS: the hash of snapshots. ARGV: of each its key, the id, and its epoch, or an empty text for any.

-- Ids are compared as text because Lua's numbers have only 53 bits.
local function less(a, b) if #a ~= #b then return #a < #b end return a < b end
local function is_newer(a, b)
  local am, as = string.match(a, '^(%d+)-(%d+)$')
  local bm, bs = string.match(b, '^(%d+)-(%d+)$')
  if am ~= bm then return less(bm, am) end
  return less(bs, as)
end

for i = 1, #ARGV, 3 do
  local kept = redis.call('HGET', KEYS[1], ARGV[i])
  local id, epoch = string.match(kept or '', '^(%d+%-%d+) (%S+) ')
  if id and not is_newer(id, ARGV[i + 1]) and (ARGV[i + 2] == '' or ARGV[i + 2] == epoch) then
    redis.call('HDEL', KEYS[1], ARGV[i])
  end
end
