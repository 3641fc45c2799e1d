#!lua
-- Keeps the snapshot of a key, unless a newer one is kept. The first line lets Redis refuse the whole script when it is out
-- of memory or read-only, instead of the commands in it.
--
-- KEYS: the stream, the hash of snapshots, the epoch.
-- ARGV: the key, the id up to which the snapshot is, the epoch, the version, the id of the newest message in it, the
-- snapshot.
-- Returns `WRITTEN`; `KEPT` when there is one that is as new; `LOST` when the stream has lost the entry otherwise than by
-- trimming, or is in another epoch.

-- Ids are compared as text because Lua's numbers have only 53 bits.
local function less(a, b) if #a ~= #b then return #a < #b end return a < b end
local function is_newer(a, b)
  local am, as = string.match(a, '^(%d+)-(%d+)$')
  local bm, bs = string.match(b, '^(%d+)-(%d+)$')
  if am ~= bm then return less(bm, am) end
  return less(bs, as)
end

local id, epoch, version = ARGV[2], ARGV[3], ARGV[4]
if redis.call('GET', KEYS[3]) ~= epoch then return 'LOST' end
local entry = redis.call('XREVRANGE', KEYS[1], id, '-', 'COUNT', 1)[1]
if entry and entry[1] ~= id then return 'LOST' end
if not entry then
  -- It was trimmed, unless the stream has gone back.
  local info = redis.pcall('XINFO', 'STREAM', KEYS[1])
  if info.err then return 'LOST' end
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' and is_newer(id, info[i + 1]) then return 'LOST' end
  end
end
local kept = redis.call('HGET', KEYS[2], ARGV[1])
local kept_id, kept_epoch, kept_version = string.match(kept or '', '^(%d+%-%d+) (%S+) (%d+) ')
if kept_epoch == epoch then
  if is_newer(kept_id, id) then return 'KEPT' end
  if kept_id == id and tonumber(kept_version) >= tonumber(version) then return 'KEPT' end
end
redis.call('HSET', KEYS[2], ARGV[1], table.concat({id, epoch, version, ARGV[5], ARGV[6]}, ' '))
return 'WRITTEN'
