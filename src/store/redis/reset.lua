-- Forgets the events of a topic: it begins anew with another epoch.
--
-- KEYS 1 meta, 2 log, 3 snapshot
-- ARGV 1 channel, 2 generation, 3 the new epoch, 4 now (ms), 5 epoch that is to be forgotten or '' for any
local meta = redis.call('HMGET', KEYS[1], 'epoch', 'seq')
if not meta[1] then return {'none'} end
if ARGV[5] ~= '' and ARGV[5] ~= meta[1] then return {'none'} end
redis.call('DEL', KEYS[2], KEYS[3])
redis.call('HSET', KEYS[1], 'epoch', ARGV[3], 'seq', 0, 'gen', ARGV[2], 'bytes', 0, 'at', ARGV[4])
redis.call('HDEL', KEYS[1], 'status', 'kept_at', 'owner', 'heard')
redis.call('SPUBLISH', ARGV[1], ARGV[3] .. ':0:')
return {meta[2] == '0' and 'empty' or 'done'}
