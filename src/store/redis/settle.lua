-- Settles entries of the inbox: they leave it. Those that were refused go, with the reason, to a
-- list for people to look at; the oldest of that make room.
--
-- KEYS 1 the stream, 2 the refused
-- ARGV 1 group, 2 most refused, 3 most bytes of a field of one, then for each entry
--      its id, and why it was refused or ''
for n = 4, #ARGV, 2 do
  local id, why = ARGV[n], ARGV[n + 1]
  if why ~= '' then
    local fields = {'id', id, 'why', why}
    local entry = redis.call('XRANGE', KEYS[1], id, id)[1]
    for m, part in ipairs(entry and entry[2] or {}) do
      if m <= 64 then fields[#fields + 1] = string.sub(part, 1, tonumber(ARGV[3])) end
    end
    redis.call('XADD', KEYS[2], 'MAXLEN', ARGV[2], '*', unpack(fields))
  end
  redis.call('XACK', KEYS[1], ARGV[1], id)
  redis.call('XDEL', KEYS[1], id)
end
return {'done'}
