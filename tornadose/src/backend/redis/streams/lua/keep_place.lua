#!lua
-- Keeps the place up to which the snapshots of all keys are kept, beside them in the field without a name, unless a
-- newer one is kept, or one of a newer version.
-- KEYS: the stream, the hash of snapshots, the epoch. ARGV: the id, the epoch, the version, and how many entries had
-- ever been added up to the id.

-- Ids are compared as text because Lua's numbers have only 53 bits.
local function less(a, b) if #a ~= #b then return #a < #b end return a < b end
local function is_newer(a, b)
  local am, as = string.match(a, '^(%d+)-(%d+)$')
  local bm, bs = string.match(b, '^(%d+)-(%d+)$')
  if am ~= bm then return less(bm, am) end
  return less(bs, as)
end

local id, epoch, version, added = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if redis.call('GET', KEYS[3]) ~= epoch or #redis.call('XRANGE', KEYS[1], id, id) == 0 then return end
local kept = redis.call('HGET', KEYS[2], '') or ''
local kept_id, kept_epoch, kept_version = string.match(kept, '^(%d+%-%d+) (%S+) (%d+) %d+$')
if kept_epoch == epoch then
  if tonumber(kept_version) > tonumber(version) then return end
  if kept_version == version and not is_newer(id, kept_id) then return end
end
redis.call('HSET', KEYS[2], '', table.concat({id, epoch, version, added}, ' '))
