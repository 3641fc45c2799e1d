-- Reads the clock of the server that has the stream. KEYS: the stream.
-- Returns the milliseconds since 1970.
local time = redis.call('TIME')
return time[1] * 1000 + math.floor(time[2] / 1000)
