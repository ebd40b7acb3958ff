-- A node is alive, and wants to know who else is.
--
-- KEYS 1 the nodes, by when they were heard of last
-- ARGV 1 the node, 2 how long one may be silent (ms), 3 '1' when it leaves
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if ARGV[3] == '1' then
  redis.call('ZREM', KEYS[1], ARGV[1])
else
  redis.call('ZADD', KEYS[1], string.format('%.0f', now), ARGV[1])
end
local since = string.format('%.0f', now - tonumber(ARGV[2]))
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. since)
return {'here', redis.call('ZRANGE', KEYS[1], 0, -1)}
