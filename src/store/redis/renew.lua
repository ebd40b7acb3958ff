-- Lets a record live on, if it is still this node's.
--
-- KEYS 1 the record
-- ARGV 1 the node, 2 age (ms)
if redis.call('GETRANGE', KEYS[1], 0, 15) ~= ARGV[1] then return {'gone'} end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return {'done'}
