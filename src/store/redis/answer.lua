-- An answer to a question about a topic, for whoever asked.
--
-- KEYS 1 the answers
-- ARGV 1 the answer, 2 age of the answers (ms)
redis.call('RPUSH', KEYS[1], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return {'done'}
