-- Trims the stream of a type with snapshots to its history, but never past the place up to which the snapshots of all
-- keys are kept. It is not refused when Redis is out of memory, as trimming is not.
-- KEYS: the stream, the hash of snapshots, the epoch. ARGV: how many entries the stream keeps.
local place = redis.call('HGET', KEYS[2], '') or ''
local epoch, through = string.match(place, '^%d+%-%d+ (%S+) %d+ (%d+)$')
if not epoch or redis.call('GET', KEYS[3]) ~= epoch then return end
local info = redis.call('XINFO', 'STREAM', KEYS[1])
local added = 0
for i = 1, #info, 2 do
  if info[i] == 'entries-added' then added = info[i + 1] end
end
-- A stream that has gone back is about to be noticed.
if added < tonumber(through) then return end
local uncovered = string.format('%.0f', math.max(added - tonumber(through), tonumber(ARGV[1])))
redis.call('XTRIM', KEYS[1], 'MAXLEN', '~', uncovered)
