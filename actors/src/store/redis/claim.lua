-- Record::claim. KEYS: session, open, shown. ARGV: the claimer, the member it knows to be dead or ''.
local stored = redis.call('HMGET', KEYS[1], 'e', 'w', 's', 'o')
if not stored[3] then return false end
local owner = stored[4]
if owner and owner ~= ARGV[1] and owner ~= ARGV[2] then return {owner} end
local epoch = redis.call('HINCRBY', KEYS[1], 'e', 1)
redis.call('HSET', KEYS[1], 'o', ARGV[1])
return {epoch, tonumber(stored[2]), stored[3], redis.call('HGETALL', KEYS[2]), redis.call('LRANGE', KEYS[3], 0, -1)}
