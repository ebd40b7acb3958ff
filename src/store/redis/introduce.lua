-- The generation of the data: another one when what was acknowledged may have been lost.
--
-- KEYS 1 the generation's key
-- ARGV 1 the runs of the servers, 2 their replication ids, 3 those before them, if they have any
--      4 '1' when a restart loses nothing, 5 '1' when a failover loses nothing
--      6 where the servers are, 7 '1' when they are a cluster
local known = redis.call('HMGET', KEYS[1], 'run', 'gen', 'replid', 'at')
local gen = known[2]
if known[1] == ARGV[1] and gen then return gen end
-- A replica that took over remembers the id before. So does a server that began with an old copy:
-- that is where the one before it was, and has no log of what came after the copy.
local has_history = string.find(ARGV[3], '[^0]') ~= nil
local has_moved = known[4] and known[4] ~= ARGV[6]
local is_failover = has_history
if ARGV[7] == '1' then is_failover = has_moved end
local is_whole
if not is_failover then
  is_whole = ARGV[4] == '1'
else
  is_whole = ARGV[5] == '1' and (has_moved or ARGV[4] == '1')
end
if not gen or not is_whole then
  local time = redis.call('TIME')
  local now = time[1] * 1000000 + time[2]
  gen = string.format('%.0f', math.max(now, tonumber(gen or 0) + 1))
end
redis.call('HSET', KEYS[1], 'run', ARGV[1], 'gen', gen, 'replid', ARGV[2], 'at', ARGV[6])
return gen
