-- Reads the inbox: what was read before and is not settled comes first, then what is new.
--
-- KEYS 1 the stream
-- ARGV 1 group, 2 reader, 3 most entries, 4 most bytes, 5 most bytes of one entry
local function read(from)
  local got = redis.pcall('XREADGROUP', 'GROUP', ARGV[1], ARGV[2], 'COUNT', ARGV[3], 'STREAMS', KEYS[1], from)
  if not got then return {} end
  if not got.err then return got[1][2] end
  if string.sub(got.err, 1, 7) ~= 'NOGROUP' then return got end
  redis.call('XGROUP', 'CREATE', KEYS[1], ARGV[1], '0', 'MKSTREAM')
  return {}
end
local entries = read('0')
if not entries.err and #entries == 0 then entries = read('>') end
if entries.err then return {'broken', entries.err} end
local told, bytes = {}, 0
for _, entry in ipairs(entries) do
  local id, parts, size = entry[1], entry[2], 0
  for _, part in ipairs(parts or {}) do size = size + #part end
  if not parts then
    told[#told + 1] = {id, 'gone'}
  elseif size > tonumber(ARGV[5]) then
    told[#told + 1] = {id, 'big', string.format('%.0f', size)}
  else
    -- What does not fit any more is read the next time.
    bytes = bytes + size
    if bytes > tonumber(ARGV[4]) and #told > 0 then break end
    told[#told + 1] = {id, 'here', parts}
  end
end
return {'here', string.format('%.0f', redis.call('XLEN', KEYS[1])), told}
