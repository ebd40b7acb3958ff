-- How many of something a node has, and how many the other living nodes have.
--
-- KEYS 1 the counts, by node
-- ARGV 1 the node, 2 its count or '', 3 most of all nodes together or '', 4 age of the counts (ms)
--      5... the nodes that are alive
local alive, elsewhere = {}, 0
for n = 5, #ARGV do alive[ARGV[n]] = true end
local counts = redis.call('HGETALL', KEYS[1])
for n = 1, #counts, 2 do
  if counts[n] ~= ARGV[1] and alive[counts[n]] then
    elsewhere = elsewhere + tonumber(counts[n + 1])
  elseif counts[n] ~= ARGV[1] and #counts > 256 then
    -- Nodes that were killed leave theirs.
    redis.call('HDEL', KEYS[1], counts[n])
  end
end
local told = string.format('%.0f', elsewhere)
if ARGV[2] == '' then return {'here', told} end
if ARGV[3] ~= '' and elsewhere + tonumber(ARGV[2]) > tonumber(ARGV[3]) then return {'full', told} end
if ARGV[2] == '0' then
  redis.call('HDEL', KEYS[1], ARGV[1])
else
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
  redis.call('PEXPIRE', KEYS[1], ARGV[4])
end
return {'here', told}
