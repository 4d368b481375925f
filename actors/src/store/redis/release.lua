-- Record::release. KEYS: session. ARGV: epoch.
if redis.call('HGET', KEYS[1], 'e') == ARGV[1] then redis.call('HDEL', KEYS[1], 'o') end
return 1
