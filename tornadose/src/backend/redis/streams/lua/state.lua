-- Reads what a process needs to know before it reads a stream.
-- KEYS: stream, epoch, type, owner; of a type with snapshots the hash of those.
-- Returns the epoch, the type, the owner, the state or an error's text, and whether the stream has our mark; then the
-- place up to which the snapshots of all keys are kept, whether its entry is in the stream, and the field `trimmed`.
local info = redis.pcall('XINFO', 'STREAM', KEYS[1])
local state, marked = info.err, 0
if not info.err then
  local of = {}
  for i = 1, #info, 2 do of[info[i]] = info[i + 1] end
  state = {of['length'], of['entries-added'] or false, of['recorded-first-entry-id'] or false,
    of['last-generated-id'], of['max-deleted-entry-id'] or false}
  local groups = redis.call('XINFO', 'GROUPS', KEYS[1])
  for i = 1, #groups do
    for f = 1, #groups[i], 2 do
      if groups[i][f] == 'name' and groups[i][f + 1] == 'tornadose' then marked = 1 end
    end
  end
end
local function field(name)
  local value = KEYS[5] and redis.pcall('HGET', KEYS[5], name)
  return type(value) == 'string' and value
end
local place, exists = field(''), 0
local id = string.match(place or '', '^%d+%-%d+')
if id and not info.err then exists = #redis.call('XRANGE', KEYS[1], id, id) end
local epoch, name, owner = redis.call('GET', KEYS[2]), redis.call('GET', KEYS[3]), redis.call('GET', KEYS[4])
local trimmed = field('trimmed')
return {epoch, name, owner, state, marked, place or false, exists, trimmed or false}
