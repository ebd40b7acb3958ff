-- The generation of the data: another one when what was acknowledged may have been lost.
--
-- KEYS 1 the generation's key
-- ARGV 1 run id of the server, 2 its replication id, 3 the one before that
--      4 '1' when a restart loses nothing, 5 '1' when a failover loses nothing
local known = redis.call('HMGET', KEYS[1], 'run', 'gen', 'replid')
local gen = known[2]
if known[1] == ARGV[1] and gen then return gen end
local is_failover = known[3] and known[3] == ARGV[3]
local is_whole = (is_failover and ARGV[5] == '1') or (not is_failover and ARGV[4] == '1')
if not gen or not is_whole then
  local time = redis.call('TIME')
  local now = time[1] * 1000000 + time[2]
  gen = string.format('%.0f', math.max(now, tonumber(gen or 0) + 1))
end
redis.call('HSET', KEYS[1], 'run', ARGV[1], 'gen', gen, 'replid', ARGV[2])
return gen
