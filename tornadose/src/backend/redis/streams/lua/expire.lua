-- Trims the entries that have expired, by the clock of this server. An entry whose id is of the future stays until its time.
--
-- KEYS: the stream, the shortest ttl; of a type with snapshots the hash of those, and the epoch.
-- ARGV: the ttl of this process, and for how long it holds for others, both in milliseconds; and for how many times the
-- ttl an entry stays that no snapshot contains.
-- Returns the time, and the ttl that holds: the shortest of all processes.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ttl = tonumber(ARGV[1])
local shortest = tonumber(redis.call('GET', KEYS[2]) or '')
local is_shortest = not shortest or ttl <= shortest
if not is_shortest then ttl = shortest end
local first = string.format('%.0f', now - ttl + 1)
if KEYS[3] then
  local place = redis.pcall('HGET', KEYS[3], '')
  if type(place) ~= 'string' then place = '' end
  local id, epoch = string.match(place, '^(%d+%-%d+) (%S+) %d+ %d+$')
  local through = epoch and redis.call('GET', KEYS[4]) == epoch and tonumber(string.match(id, '^%d+')) or 0
  local bound = now - ttl * ARGV[3] + 1
  if through < bound then
    first = bound > 0 and string.format('%.0f', bound) or '0'
  elseif through <= now - ttl then
    first = id
  end
end
if now > ttl then redis.call('XTRIM', KEYS[1], 'MINID', first) end
-- Refused when Redis is out of memory, where trimming is not.
if is_shortest then redis.pcall('SET', KEYS[2], ARGV[1], 'PX', ARGV[2]) end
return {now, ttl}
