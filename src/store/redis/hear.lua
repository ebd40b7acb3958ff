-- A sign of life of whoever works on a topic, or how long ago the last one was (ms).
--
-- KEYS 1 meta
-- ARGV 1 '1' when this is one
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local heard = redis.call('HGET', KEYS[1], 'heard')
if not heard then return {'none'} end
if ARGV[1] == '1' then
  redis.call('HSET', KEYS[1], 'heard', string.format('%.0f', now))
  heard = now
end
return {'here', string.format('%.0f', math.max(0, now - tonumber(heard)))}
