-- Reads latest values until a number of bytes is reached.
-- KEYS: latest. ARGV: the bytes; how many bytes of the first value are known; fields.
-- Returns of each value its id, and the bytes of id and value together that are not known.
local bytes, known = tonumber(ARGV[1]), tonumber(ARGV[2])
local values, used = {}, 0
for i = 3, #ARGV do
  local value = redis.call('HGET', KEYS[1], ARGV[i])
  local id = value and string.match(value, '^(%d+%-%d+) ') or false
  if not id then value = '' end
  if i == 3 then value = string.sub(value, known + 1, known + bytes) end
  if i > 3 and used + #value > bytes then break end
  used = used + #value
  values[#values + 1], values[#values + 2] = id, value
end
return values
