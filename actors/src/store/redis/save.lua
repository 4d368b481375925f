-- Record::save, then how many messages are open. KEYS: session, open, shown. ARGV: epoch, write, turn, state, time to live (ms).
local stored = redis.call('HMGET', KEYS[1], 'e', 'w')
if stored[1] ~= ARGV[1] or stored[2] ~= ARGV[2] then return -1 end
redis.call('HINCRBY', KEYS[1], 'w', 1)
redis.call('HSET', KEYS[1], 's', ARGV[4])
redis.call('PEXPIRE', KEYS[1], ARGV[5])
redis.call('HDEL', KEYS[2], ARGV[3])
if redis.call('LINDEX', KEYS[3], 0) == ARGV[3] then redis.call('DEL', KEYS[3]) end
return redis.call('HLEN', KEYS[2])
