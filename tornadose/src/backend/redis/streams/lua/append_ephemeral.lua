#!lua
-- Appends ephemeral messages to a stream of their own. Each names the entry of the main stream that it follows. The first
-- line lets Redis refuse the whole script when it is out of memory or read-only, instead of the commands in it.
--
-- KEYS: the stream, the stream of ephemeral messages, the hash of finishes.
-- ARGV: how many ephemeral messages are kept; then of each its key if that has to be open, or an empty text, its data and
-- `by`.
-- Returns `FOLLOWS` and the id of that entry for each message; `FINISHED` and the id of the finish for a key that is
-- finished. After the first error, that error's text for each message left.
local stream, ephemeral, finishes = KEYS[1], KEYS[2], KEYS[3]
local replies, refused, follows = {}, nil, '0-0'

local info = redis.pcall('XINFO', 'STREAM', stream)
if not info.err then
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then follows = info[i + 1] end
  end
end

local function append(open, data, by)
  if open ~= '' then
    local finish = redis.pcall('HGET', finishes, open)
    if type(finish) == 'table' then
      refused = finish.err
      return refused
    end
    local id = finish and string.match(finish, '^(%S+) ')
    if id then return 'FINISHED ' .. id end
  end
  local id = redis.pcall('XADD', ephemeral, 'MAXLEN', '~', ARGV[1], '*', 'data', data, 'by', by, 'follows', follows)
  if type(id) == 'table' then
    refused = id.err
    return refused
  end
  return 'FOLLOWS ' .. follows
end

for i = 2, #ARGV, 3 do
  replies[#replies + 1] = refused or append(ARGV[i], ARGV[i + 1], ARGV[i + 2])
end
return replies
