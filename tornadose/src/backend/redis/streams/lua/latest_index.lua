-- Lists a part of the latest values: their fields and ids, and their lengths.
-- KEYS: latest, stream. ARGV: the cursor, 0 at first.
-- Returns the next cursor, 0 at last; the newest id of the stream; and of each value its field, its id and its length.
local page = redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', 32)
local values = {}
for i = 1, #page[2], 2 do
  local id = string.match(page[2][i + 1], '^(%d+%-%d+) ')
  if id then
    local at = #values
    values[at + 1], values[at + 2], values[at + 3] = page[2][i], id, #page[2][i + 1]
  end
end
local info, newest = redis.pcall('XINFO', 'STREAM', KEYS[2]), '0-0'
for i = 1, #info, 2 do
  if info[i] == 'last-generated-id' then newest = info[i + 1] end
end
return {page[1], newest, values}
