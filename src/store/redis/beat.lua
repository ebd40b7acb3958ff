-- A node tells that it is there, and hears who else is. The secret of the nodes is made once.
--
-- KEYS 1 the nodes, 2 their secret
-- ARGV 1 the node, 2 where it is reached ('' when it leaves), 3 age (ms), 4 a secret, if there is none
--      ('' when it is configured)
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local secret = ''
if ARGV[4] ~= '' then
  secret = redis.call('GET', KEYS[2])
  if not secret then
    secret = ARGV[4]
    redis.call('SET', KEYS[2], secret)
  end
end
if ARGV[2] == '' then
  redis.call('HDEL', KEYS[1], ARGV[1])
else
  redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f', now + ARGV[3]) .. ' ' .. ARGV[2])
end
local told = {'nodes', secret}
local known = redis.call('HGETALL', KEYS[1])
for i = 1, #known, 2 do
  local till, address = string.match(known[i + 1], '^(%d+) (.+)$')
  if till and tonumber(till) >= now then
    told[#told + 1] = known[i]
    told[#told + 1] = address
  else
    redis.call('HDEL', KEYS[1], known[i])
  end
end
return told
