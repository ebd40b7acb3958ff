-- Forgets a record, if it is still this node's.
--
-- KEYS 1 the record
-- ARGV 1 the node
if redis.call('GETRANGE', KEYS[1], 0, 15) ~= ARGV[1] then return {'gone'} end
redis.call('DEL', KEYS[1])
return {'done'}
