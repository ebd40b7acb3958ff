-- Reads a topic from a place on; the whole of it when the epoch is another.
--
-- KEYS 1 meta, 2 log, 3 snapshot
-- ARGV 1 channel, 2 generation, 3 epoch of a topic that is new, 4 age of a topic that is made (ms) or ''
--      5 epoch of the reader or '', 6 the last number it has, 7 most entries, 8 now (ms)
local meta = redis.call('HMGET', KEYS[1], 'epoch', 'seq', 'gen')
local epoch, head, gen = meta[1], meta[2], meta[3]
if not epoch then
  if ARGV[4] == '' then return {'none'} end
  epoch, head = ARGV[3], '0'
  redis.call('DEL', KEYS[2], KEYS[3])
  redis.call('HSET', KEYS[1], 'epoch', epoch, 'seq', head, 'gen', ARGV[2], 'bytes', 0, 'at', ARGV[8])
  redis.call('PEXPIRE', KEYS[1], ARGV[4])
elseif gen ~= ARGV[2] then
  if tonumber(gen) > tonumber(ARGV[2]) then return {'stale', gen} end
  -- The log may have lost its end: what is left is told under another epoch.
  epoch = ARGV[3]
  redis.call('HSET', KEYS[1], 'epoch', epoch, 'gen', ARGV[2])
  redis.call('SPUBLISH', ARGV[1], epoch .. ':' .. head .. ':')
elseif ARGV[5] == epoch and tonumber(ARGV[6]) > tonumber(head) then
  -- The reader has seen more than is left.
  epoch = ARGV[3]
  redis.call('HSET', KEYS[1], 'epoch', epoch)
  redis.call('SPUBLISH', ARGV[1], epoch .. ':' .. head .. ':')
end
local from, kept = '(' .. ARGV[6] .. '-0', {}
if ARGV[5] ~= epoch then
  from = '-'
  kept = redis.call('HVALS', KEYS[3])
end
local owner = redis.call('HGET', KEYS[1], 'owner') or ''
return {'here', epoch, head, owner, kept, redis.call('XRANGE', KEYS[2], from, '+', 'COUNT', ARGV[7])}
