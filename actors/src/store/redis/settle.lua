-- The session (ARGV 1) leaves its owner's index, unless a turn other than ARGV 2 was accepted since. KEYS: index.
local last = redis.call('HGET', KEYS[1], ARGV[1])
if last == ARGV[2] or last == '*' then redis.call('HDEL', KEYS[1], ARGV[1]) end
return 1
