-- Record::show; the list's head is the turn. KEYS: session, shown. ARGV: epoch, turn, from, time to live (ms), events.
if redis.call('HGET', KEYS[1], 'e') ~= ARGV[1] then return 0 end
local from = tonumber(ARGV[3])
if redis.call('LINDEX', KEYS[2], 0) ~= ARGV[2] then
  redis.call('DEL', KEYS[2])
  redis.call('RPUSH', KEYS[2], ARGV[2])
end
if redis.call('LLEN', KEYS[2]) < from + 1 then return 0 end
local there = redis.call('LRANGE', KEYS[2], from + 1, from + #ARGV - 4)
local is_repeat = true
for n = 5, #ARGV do is_repeat = is_repeat and there[n - 4] == ARGV[n] end
if not is_repeat then
  redis.call('LTRIM', KEYS[2], 0, from)
  for n = 5, #ARGV do redis.call('RPUSH', KEYS[2], ARGV[n]) end
end
redis.call('PEXPIRE', KEYS[2], ARGV[4])
return 1
