-- Takes or renews a lease; with an age of 0 it is given back.
--
-- KEYS 1 the lease
-- ARGV 1 the node, 2 age (ms)
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return {'other'} end
if ARGV[2] == '0' then redis.call('DEL', KEYS[1]) else redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) end
return {'mine'}
