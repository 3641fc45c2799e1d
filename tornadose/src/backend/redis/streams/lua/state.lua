-- Reads what a process needs to know before it reads a stream.
-- KEYS: stream, epoch, type, owner.
-- Returns the epoch, the type, the owner, the state or an error's text, and whether the stream has our mark.
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
return {redis.call('GET', KEYS[2]), redis.call('GET', KEYS[3]), redis.call('GET', KEYS[4]), state, marked}
