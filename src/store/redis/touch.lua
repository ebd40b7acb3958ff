-- Where a topic stands; keeps it from being forgotten while somebody watches it.
--
-- KEYS 1 meta, 2 log, 3 snapshot
-- ARGV 1 age of the topic (ms)
local meta = redis.call('HMGET', KEYS[1], 'epoch', 'seq')
if not meta[1] then return {'none'} end
for n = 1, 3 do
  if redis.call('PTTL', KEYS[n]) < tonumber(ARGV[1]) / 2 then redis.call('PEXPIRE', KEYS[n], ARGV[1]) end
end
return {'here', meta[1], meta[2]}
