#!lua
-- Appends messages, and keeps each as the newest value of its field. The first line lets Redis refuse the whole script when
-- it is out of memory or read-only, instead of the commands in it.
--
-- KEYS: the stream, the hash of latest values.
-- ARGV: how many entries the stream keeps; then field, data and `by` of each message.
-- Returns the id of each message. After the first error, that error's text for each message left. Then the text of an error of the
-- hash, if there was one.
local replies, refused, not_kept = {}, nil, nil
for i = 2, #ARGV, 3 do
  local id = refused
  if not id then
    id = redis.pcall('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'data', ARGV[i + 1], 'by', ARGV[i + 2])
    if type(id) == 'table' then
      refused = id.err
      id = refused
    else
      local kept = redis.pcall('HSET', KEYS[2], ARGV[i], id .. ' ' .. ARGV[i + 1])
      if type(kept) == 'table' then not_kept = kept.err end
    end
  end
  replies[#replies + 1] = id
end
if not_kept then replies[#replies + 1] = not_kept end
return replies
