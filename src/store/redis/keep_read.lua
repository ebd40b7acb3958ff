-- Keeps how far somebody has read of a topic, unless it is known that they have read further.
--
-- KEYS 1 the place
-- ARGV 1 epoch, 2 number, 3 age (ms)
local known = redis.call('HMGET', KEYS[1], 'epoch', 'seq')
if known[1] == ARGV[1] and tonumber(known[2]) >= tonumber(ARGV[2]) then return {'known'} end
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'seq', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return {'done'}
