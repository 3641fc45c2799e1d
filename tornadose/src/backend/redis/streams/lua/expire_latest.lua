#!lua
-- Expires latest values by the clock of this server: drops each, and appends an entry that all processes obey. The first line
-- lets Redis refuse the whole script when it is out of memory or read-only, instead of the commands in it.
--
-- KEYS: the stream, the hash of latest values.
-- ARGV: how many entries the stream keeps; then of each value its field, the id up to which the process has read, the ttl of the
-- value in milliseconds, the id of the value or an empty text, and `by`. With the id the process asks again: if the hash has
-- lost the field, the entry has that id and no value.
-- Returns the id of each entry, or `KEPT` for a value that is younger, that the process has not read yet, or that is gone. A
-- value that was appended twice has another id here than in the process. Versions that know of no expiries read the field
-- `forget`.

-- Ids are compared as text because Lua's numbers have only 53 bits.
local function less(a, b) if #a ~= #b then return #a < #b end return a < b end
local function is_newer(a, b)
  local am, as = string.match(a, '^(%d+)-(%d+)$')
  local bm, bs = string.match(b, '^(%d+)-(%d+)$')
  if am ~= bm then return less(bm, am) end
  return less(bs, as)
end

-- What the user may not do is found out before anything is appended: no field is the empty text.
redis.call('HDEL', KEYS[2], '')
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local replies = {}
local function is_old(id, ttl) return now - string.match(id, '^%d+') >= tonumber(ttl) end
local function expire(field, id, data, by)
  replies[#replies + 1] = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'forget', field,
    'expire', id .. ' ' .. field, 'data', data, 'by', by)
end
for i = 2, #ARGV, 5 do
  local field = ARGV[i]
  local kept = redis.call('HGET', KEYS[2], field)
  local id = kept and string.match(kept, '^%d+%-%d+')
  local ttl, missing, by = ARGV[i + 2], ARGV[i + 3], ARGV[i + 4]
  if id and not is_newer(id, ARGV[i + 1]) and is_old(id, ttl) then
    expire(field, id, string.sub(kept, #id + 2), by)
    redis.call('HDEL', KEYS[2], field)
  elseif not kept and missing ~= '' and is_old(missing, ttl) then
    expire(field, missing, '', by)
  else
    replies[#replies + 1] = 'KEPT'
  end
end
return replies
