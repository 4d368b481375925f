-- Record::close, then how many messages are open. KEYS: session, open, shown. ARGV: epoch, turn.
if redis.call('HGET', KEYS[1], 'e') ~= ARGV[1] then return -1 end
redis.call('HDEL', KEYS[2], ARGV[2])
if redis.call('LINDEX', KEYS[3], 0) == ARGV[2] then redis.call('DEL', KEYS[3]) end
return redis.call('HLEN', KEYS[2])
