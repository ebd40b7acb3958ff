-- Claims the bringing of what waits for somebody, and says how far they have read.
--
-- KEYS 1 the claim, 2 the place
-- ARGV 1 the holder, 2 age (ms)
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return {'held'} end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
local known = redis.call('HMGET', KEYS[2], 'epoch', 'seq')
if not known[1] then return {'mine'} end
return {'mine', known[1], known[2]}
