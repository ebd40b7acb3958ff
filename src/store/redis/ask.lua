-- Asks all nodes that watch a topic, or looks at their answers.
--
-- KEYS 1 the answers
-- ARGV 1 channel, 2 the question or '' to look
if ARGV[2] ~= '' then return {'asked', redis.call('SPUBLISH', ARGV[1], '?:' .. ARGV[2] .. ':')} end
return {'told', redis.call('LRANGE', KEYS[1], 0, -1)}
