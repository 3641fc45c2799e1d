#!lua
-- Appends messages to keys that are not finished, and finishes keys. The first line lets Redis refuse the whole script when
-- it is out of memory or read-only, instead of the commands in it.
--
-- KEYS: the stream, the hash of latest values, the hash of finishes, the sorted set of their times.
-- ARGV: how many entries the stream keeps; then of each message its kind (`queue`, `latest`, `last` for one that finishes
-- its key, `finish` for a finish alone), its key, its field in the hash of latest values, its data, `by`, and the field `key`
-- or an empty text.
-- Returns the id of each message; `FINISHED` and the id of the finish for a key that is finished; `APPENDED` and an id for
-- what this very message has appended before. After the first error, that error's text for each message left. Then the text
-- of an error of the latest values, if there was one.
local stream, latest, finishes, times = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local replies, refused, not_kept = {}, nil, nil

local function add(...)
  local id = redis.pcall('XADD', stream, 'MAXLEN', '~', ARGV[1], '*', ...)
  if type(id) == 'table' then
    refused = id.err
    return nil
  end
  return id
end

-- Takes a mark back.
local function forget(open)
  redis.pcall('HDEL', finishes, open)
  redis.pcall('ZREM', times, open)
end

local function append(kind, open, field, data, by, key)
  local finish = redis.pcall('HGET', finishes, open)
  if type(finish) == 'table' then
    refused = finish.err
    return refused
  end
  if finish then
    -- The id of the finish, the `by` of what has finished the key, and the id of that.
    local id, finisher, appended = string.match(finish, '^(%S+) (%S+) (%S+)$')
    if id and finisher == by then return 'APPENDED ' .. appended end
    -- Another value is a mark whose user may not take it back.
    if id then return 'FINISHED ' .. id end
  end
  local finishing = kind == 'last' or kind == 'finish'
  if finishing then
    -- What the user may not do is found out before anything is appended.
    local marked = redis.pcall('HSET', finishes, open, '')
    if type(marked) == 'table' then
      refused = marked.err
      return refused
    end
    local timed = redis.pcall('ZADD', times, 0, open)
    if type(timed) == 'table' then
      forget(open)
      refused = timed.err
      return refused
    end
  end
  local id
  if kind ~= 'finish' then
    if key ~= '' then id = add('data', data, 'by', by, 'key', key) else id = add('data', data, 'by', by) end
    if not id then
      if finishing then forget(open) end
      return refused
    end
  end
  if kind == 'latest' then
    local kept = redis.pcall('HSET', latest, field, id .. ' ' .. data)
    if type(kept) == 'table' then not_kept = kept.err end
  end
  if finishing then
    -- Versions that know of no finishes read the field `forget`, which names no key.
    local last
    if kind == 'finish' then last = add('forget', '', 'finish', open, 'by', by) else last = add('forget', '', 'finish', open) end
    if not last then
      forget(open)
      return id or refused
    end
    id = id or last
    redis.call('HSET', finishes, open, last .. ' ' .. by .. ' ' .. id)
    redis.call('ZADD', times, string.match(last, '^%d+'), open)
  end
  return id
end

for i = 2, #ARGV, 6 do
  replies[#replies + 1] = refused or append(ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4], ARGV[i + 5])
end
if not_kept then replies[#replies + 1] = not_kept end
return replies
