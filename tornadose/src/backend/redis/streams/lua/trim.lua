-- Trims the stream of a type with snapshots, but never past the place up to which the snapshots of all keys are kept.
-- The field `trimmed` of those has the id up to which the stream was trimmed, the epoch, and the newest number of each
-- sender up to the id: by it a process that starts recognises a message that was sent again.
-- KEYS: the stream, the hash of snapshots, the epoch.
-- ARGV: the id of the newest entry that is trimmed, the epoch, the next id, and the senders.

-- Ids are compared as text because Lua's numbers have only 53 bits.
local function less(a, b) if #a ~= #b then return #a < #b end return a < b end
local function is_newer(a, b)
  local am, as = string.match(a, '^(%d+)-(%d+)$')
  local bm, bs = string.match(b, '^(%d+)-(%d+)$')
  if am ~= bm then return less(bm, am) end
  return less(bs, as)
end

local id, epoch, next_id, senders = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local place = redis.call('HGET', KEYS[2], '') or ''
local place_id, place_epoch = string.match(place, '^(%d+%-%d+) (%S+) %d+ %d+$')
if place_epoch ~= epoch or redis.call('GET', KEYS[3]) ~= epoch or is_newer(id, place_id) then return end
-- A stream that lacks the entry was trimmed further, or has gone back, which is about to be noticed.
if #redis.call('XRANGE', KEYS[1], id, id) == 0 then return end
-- Refused when Redis is out of memory, where trimming is not.
redis.pcall('HSET', KEYS[2], 'trimmed', table.concat({id, epoch, senders}, ' '))
redis.call('XTRIM', KEYS[1], 'MINID', next_id)
