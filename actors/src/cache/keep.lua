-- KEYS: answer, list. ARGV: entry, listed, milliseconds to keep, answers of the tenant at most.
local old = redis.call('HGET', KEYS[1], 'p')
if old then redis.call('XDEL', KEYS[2], old) end
local place = redis.call('XADD', KEYS[2], '*', 'k', KEYS[1], 'l', ARGV[2])
redis.call('HSET', KEYS[1], 'p', place, 'e', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
local surplus = redis.call('XLEN', KEYS[2]) - tonumber(ARGV[4])
if surplus > 0 then
  for _, item in ipairs(redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', surplus)) do
    redis.call('DEL', item[2][2])
    redis.call('XDEL', KEYS[2], item[1])
  end
end
return 1
