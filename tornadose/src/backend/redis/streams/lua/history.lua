-- Walks a stream from new to old, to find the oldest entry that a store has room for.
-- KEYS: stream. ARGV: where to begin; how many bytes and entries there is room for; how many bytes to look at now; an
-- id, or an empty text.
-- Returns the number of entries that fit, their bytes and those of the largest; whether the walk is over; the id of
-- the next older entry, if there is one: where the walk goes on, or the newest entry that there is no room for; and
-- how many of the entries are after the id, if the walk has come to it.
local room, most, limit = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local from, count, bytes, largest, looked, step = ARGV[1], 0, 0, 0, 0, 8
local place, after = ARGV[5], false
while true do
  local found = redis.call('XREVRANGE', KEYS[1], from, '-', 'COUNT', step)
  for i = 1, #found do
    local id, fields, size = found[i][1], found[i][2], 0
    if id == place then after = count end
    for f = 1, #fields, 2 do
      if fields[f] == 'data' or fields[f] == 'forget' then size = size + #fields[f + 1] end
      looked = looked + #fields[f + 1]
    end
    if bytes >= room or count >= most then return {count, bytes, largest, 1, id, after} end
    -- The entry is looked at again in the next call. The first is never put off.
    if looked > limit and count > 0 then return {count, bytes, largest, 0, id, after} end
    count, bytes, largest = count + 1, bytes + size, math.max(largest, size)
  end
  if #found < step then return {count, bytes, largest, 1, false, after} end
  from = '(' .. found[#found][1]
  step = looked == 0 and 100 or math.min(100, math.max(1, math.floor((limit - looked) * count / looked)))
end
