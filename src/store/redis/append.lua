-- Appends one event: receipt, guard, number, log, snapshot and news in one step.
--
-- KEYS 1 meta, 2 log, 3 snapshot, 4 receipt (the meta key again without one)
-- ARGV 1 channel, 2 generation, 3 epoch of a topic that is new
--      4 record up to the place, 5 'o' when the place is to be written into it
--      6 field of the snapshot or '', 7 status after the event or ''
--      8 field that must not be there or '', 9 epoch that must hold or '', 10 head that must hold or ''
--      11 fingerprint or '', 12 age of a receipt (ms), 13 most events, 14 most bytes
--      20 owner or ''
--      21 most age of an event (s) or ''
--      22 the trace, only if there is one
--      15 age of the topic (ms), 16 now (ms), 17 most fields, 18 id of the event, 19 deadline (us)
local time = redis.call('TIME')
local heard = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
if time[1] * 1000000 + time[2] > tonumber(ARGV[19]) then return {'late'} end
if ARGV[11] ~= '' then
  local given = redis.call('GET', KEYS[4])
  if given then return {'again', given} end
end
local meta = redis.call('HMGET', KEYS[1], 'epoch', 'seq', 'gen', 'bytes', 'kept_at', 'status')
local epoch, seq, gen = meta[1], tonumber(meta[2] or 0), meta[3]
local bytes, kept_at = tonumber(meta[4] or 0), tonumber(meta[5] or 0)
local is_new = not epoch
if epoch and gen ~= ARGV[2] then
  if tonumber(gen) > tonumber(ARGV[2]) then return {'stale', gen} end
  epoch = ARGV[3]
  kept_at = 0
end
if is_new then
  redis.call('DEL', KEYS[1], KEYS[2], KEYS[3])
  epoch, seq, bytes, kept_at = ARGV[3], 0, 0, 0
end
local head = string.format('%.0f', seq)
if ARGV[9] ~= '' and ARGV[9] ~= epoch then return {'moved', epoch, head} end
if ARGV[10] ~= '' and ARGV[10] ~= head then return {'moved', epoch, head} end
if ARGV[8] ~= '' and redis.call('HEXISTS', KEYS[3], ARGV[8]) == 1 then return {'held', epoch, head} end

seq = seq + 1
head = string.format('%.0f', seq)
local record = ARGV[4]
if ARGV[5] == 'o' then record = record .. '"_seq":' .. head .. ',"_epoch":"' .. epoch .. '"}' end
redis.call('XADD', KEYS[2], head .. '-0', 'e', record)
bytes = bytes + #record
if ARGV[6] ~= '' then
  local kept = head .. ':' .. record
  local sort = string.sub(ARGV[6], 1, 1)
  if sort == 'q' or sort == 'a' then
    redis.call('HSETNX', KEYS[3], ARGV[6], kept)
  elseif sort == 't' or redis.call('HLEN', KEYS[3]) < tonumber(ARGV[17])
    or redis.call('HEXISTS', KEYS[3], ARGV[6]) == 1 then
    redis.call('HSET', KEYS[3], ARGV[6], kept)
  end
end

-- The oldest make room: they are too many, too large or too old. A record tells its time behind its id.
-- A log has no more events than its newest has numbers, so a short one need not be counted.
local most = tonumber(ARGV[13])
local over = seq > most and redis.call('XLEN', KEYS[2]) - most or 0
local function is_aged(entry)
  return ARGV[21] ~= '' and math.floor((tonumber(ARGV[16]) - struct.unpack('<i8', entry[2][2], 17)) / 1000) > tonumber(ARGV[21])
end
local function is_beyond() return over > 0 or bytes > tonumber(ARGV[14]) end
local last, is_done = nil, false
while not is_done and (is_beyond() or ARGV[21] ~= '') do
  local from, count = last and '(' .. last or '-', math.max(1, math.min(over, 16))
  local oldest = redis.call('XRANGE', KEYS[2], from, '+', 'COUNT', count)
  is_done = #oldest == 0
  for _, entry in ipairs(oldest) do
    if entry[1] == head .. '-0' or not (is_beyond() or is_aged(entry)) then
      is_done = true
      break
    end
    bytes, over, last = bytes - #entry[2][2], over - 1, entry[1]
  end
end
if last then
  local after = string.format('%.0f', tonumber(string.match(last, '^%d+')) + 1)
  redis.call('XTRIM', KEYS[2], 'MINID', after .. '-0')
end

redis.call('HSET', KEYS[1], 'seq', head, 'bytes', bytes, 'at', ARGV[16], 'heard', heard)
if epoch ~= meta[1] or gen ~= ARGV[2] then redis.call('HSET', KEYS[1], 'epoch', epoch, 'gen', ARGV[2]) end
if ARGV[20] ~= '' then redis.call('HSETNX', KEYS[1], 'owner', ARGV[20]) end
if ARGV[7] ~= '' then redis.call('HSET', KEYS[1], 'status', ARGV[7]) end
local now, age = tonumber(ARGV[16]), tonumber(ARGV[15])
if ARGV[7] ~= '' or now < kept_at or now - kept_at > age / 16 or seq == 1 or ARGV[6] ~= '' then
  redis.call('HSET', KEYS[1], 'kept_at', ARGV[16])
  for n = 1, 3 do redis.call('PEXPIRE', KEYS[n], age) end
end
if ARGV[11] ~= '' then
  local given = table.concat({ARGV[11], epoch, head, ARGV[18], ARGV[16]}, ':')
  redis.call('SET', KEYS[4], given, 'PX', ARGV[12])
end
local place = epoch .. ':' .. head
if ARGV[22] then place = place .. '@' .. ARGV[22] end
redis.call('SPUBLISH', ARGV[1], place .. ':' .. record)
return {'done', epoch, head, seq == 1 and '1' or ''}
