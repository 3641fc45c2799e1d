-- Trims the entries that have expired, by the clock of this server. An entry whose id is of the future stays until its time.
--
-- KEYS: the stream, the shortest ttl.
-- ARGV: the ttl of this process, and for how long it holds for others, both in milliseconds; and for how many times the
-- ttl an entry stays. Of a type with snapshots it is more than one, and the reader trims the entries in snapshots before.
-- Returns the time, and the ttl that holds: the shortest of all processes.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ttl = tonumber(ARGV[1])
local shortest = tonumber(redis.call('GET', KEYS[2]) or '')
local is_shortest = not shortest or ttl <= shortest
if not is_shortest then ttl = shortest end
local oldest = now - ttl * ARGV[3] + 1
if oldest > 0 then redis.call('XTRIM', KEYS[1], 'MINID', string.format('%.0f', oldest)) end
-- Refused when Redis is out of memory, where trimming is not.
if is_shortest then redis.pcall('SET', KEYS[2], ARGV[1], 'PX', ARGV[2]) end
return {now, ttl}
