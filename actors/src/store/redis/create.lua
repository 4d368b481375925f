-- Record::new. KEYS: session. ARGV: state, time to live (ms).
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('HSET', KEYS[1], 'e', 0, 'w', 1, 's', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
