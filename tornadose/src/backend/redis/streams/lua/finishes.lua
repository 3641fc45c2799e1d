-- Lists a part of the finishes.
-- KEYS: the hash of finishes, the stream. ARGV: the cursor, 0 at first.
-- Returns the next cursor, 0 at last; the newest id of the stream; and of each finish its key and its id.
local page = redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', 100)
local finishes = {}
for i = 1, #page[2], 2 do
  local at, id = #finishes, string.match(page[2][i + 1], '^%S+')
  if id then finishes[at + 1], finishes[at + 2] = page[2][i], id end
end
local info, newest = redis.pcall('XINFO', 'STREAM', KEYS[2]), '0-0'
for i = 1, #info, 2 do
  if info[i] == 'last-generated-id' then newest = info[i + 1] end
end
return {page[1], newest, finishes}
