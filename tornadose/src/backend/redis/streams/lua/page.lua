-- Reads the state of a stream and a page of its entries.
-- KEYS: stream, epoch.
-- ARGV: the last id that was read; the id to read after; bytes and entries of the page; the longest payload that is
-- of interest; the id of an entry of which a part was read, and the length of that part; how many entries to try first.
-- Returns the epoch; the state, or an error's text; whether the entries at the two ids exist; whether there are no
-- further entries; and of each entry its id, the length of its data, its data, its sender, its key, the key it forgets, and
-- its notice: `finish`, `remove`, `reopen` or `expire`, a space and the key, or the id and the field of the value.
local stream, epoch = KEYS[1], KEYS[2]
local last, after, bytes, most = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local longest, part, known, step = tonumber(ARGV[5]), ARGV[6], tonumber(ARGV[7]), tonumber(ARGV[8])

local function exists(id)
  if id ~= '0-0' and #redis.call('XRANGE', stream, id, id) > 0 then return 1 end
  return 0
end

local info = redis.pcall('XINFO', 'STREAM', stream)
if info.err then return {redis.call('GET', epoch), info.err} end
local of = {}
for i = 1, #info, 2 do of[info[i]] = info[i + 1] end
local newest = of['last-generated-id']
local state = {of['length'], of['entries-added'] or false, of['recorded-first-entry-id'] or false, newest,
  of['max-deleted-entry-id'] or false}

local entries, count, used, complete, id = {}, 0, 0, 0, after
-- There is nothing after the last possible id, and XRANGE does not accept it.
if after == newest or after == '18446744073709551615-18446744073709551615' then complete = 1 end
while complete == 0 and count < most and used < bytes do
  local want = math.min(step, most - count)
  local found = redis.call('XRANGE', stream, '(' .. id, '+', 'COUNT', want)
  local is_full = false
  for i = 1, #found do
    local fields, data, by, key, forget, notice = found[i][2], false, false, false, false, false
    for f = 1, #fields, 2 do
      local name = fields[f]
      if name == 'data' then data = data or fields[f + 1]
      elseif name == 'by' then by = by or fields[f + 1]
      elseif name == 'key' then key = key or fields[f + 1]
      elseif name == 'forget' then forget = forget or fields[f + 1]
      elseif name == 'finish' or name == 'remove' or name == 'reopen' or name == 'expire' then
        notice = notice or name .. ' ' .. fields[f + 1]
      end
    end
    if by and #by > 100 then by = false end
    -- An entry can be read without its key.
    if key and #key > 4096 then key = false end
    if forget and #forget > longest then forget = false end
    if notice and #notice > longest then notice = false end
    local length = -1
    if data then
      length = #data
      if length > longest then
        data = ''
      elseif found[i][1] == part then
        data = string.sub(data, known + 1, known + bytes)
      elseif count == 0 and length > bytes then
        data = string.sub(data, 1, bytes)
      end
    end
    local size = 64 + (data and #data or 0) + (key and #key or 0) + (forget and #forget or 0) + (notice and #notice or 0)
    if count > 0 and used + size > bytes then
      is_full = true
      break
    end
    id, count, used = found[i][1], count + 1, used + size
    local at = #entries
    entries[at + 1], entries[at + 2], entries[at + 3] = id, length, data
    entries[at + 4], entries[at + 5], entries[at + 6], entries[at + 7] = by, key, forget, notice
  end
  if is_full then break end
  if id == newest or #found < want then complete = 1 end
  -- The next step fits what is left, if its entries are like those before.
  step = count > 0 and math.max(1, math.floor((bytes - used) * count / used)) or 1
end
return {redis.call('GET', epoch), state, exists(last), exists(after), complete, entries}
