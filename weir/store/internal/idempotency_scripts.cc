// A record is a hash: s state (s started, c completed, u unknown), o owner, a attempt, f fingerprint, b created,
// l lease until, e expires (milliseconds), n label; of an answer: st status, h fields, y body, k body kept.
// The index holds who is not completed, by the moment from which the outcome is unknown.
#include "weir/store/internal/idempotency_scripts.h"

namespace weir::store::internal {
namespace {

constexpr const char* kCommon = R"lua(
local call = redis.call
local key, index = KEYS[1], KEYS[2]
-- string.format: tostring() would write a large number as 1.7e+15.
local function text(number) return string.format('%.0f', number) end
local timed = ARGV[2] == '-'
local now
if timed then
  local time = call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
else
  now = tonumber(ARGV[2])
end
local lease, ttl, owner, attempt = tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5], tonumber(ARGV[6])
local id, again = ARGV[9], ARGV[10] == '1'

local got = call('HMGET', key, 's', 'o', 'a', 'f', 'l', 'e')
local record = nil
if got[1] then
  record = {s = got[1], o = got[2], a = tonumber(got[3]), f = got[4], l = tonumber(got[5]), e = tonumber(got[6])}
end

-- As long as the server may keep the record: no shorter than it counts.
local function keep(milliseconds)
  if timed then call('PEXPIRE', key, text(milliseconds)) end
end
local function forgotten() return record and record.s ~= 's' and record.e <= now end
local function owns()
  return record and record.s ~= 'c' and record.o == owner and record.a == attempt
end
local function decide(kind, wait, number) return {kind, text(wait or 0), text(number or 0), 0} end
local function changed(yes) return {'', '0', '0', yes and 1 or 0} end
local function replay()
  local answer = call('HMGET', key, 'st', 'h', 'y', 'k')
  return {'replay', '0', '0', 0, answer[1], answer[2], answer[3], answer[4]}
end
local function look()
  if not record or forgotten() then return decide('run') end
  if record.f ~= ARGV[7] then return decide('mismatch') end
  if record.s == 'c' then return replay() end
  if record.s == 'u' or record.l <= now then return decide('unknown') end
  return decide('in_flight', record.l - now)
end
local function unknown()
  call('HSET', key, 's', 'u', 'e', text(now + ttl))
  call('ZADD', index, text(now), id)
  keep(ttl)
end
local function complete()
  call('HSET', key, 's', 'c', 'e', text(now + ttl), 'st', ARGV[11], 'h', ARGV[12], 'y', ARGV[13], 'k', ARGV[14])
  call('ZREM', index, id)
  keep(ttl)
  return changed(true)
end
local function free()
  call('DEL', key)
  call('ZREM', index, id)
  return changed(true)
end
)lua";

constexpr const char* kLookUp = "return look()\n";

constexpr const char* kClaim = R"lua(
if call('GET', KEYS[3]) ~= ARGV[1] then return 'lost' end
if record and record.s == 's' and record.o == owner and again then return decide('run', 0, record.a) end
if record and record.s == 's' and record.l <= now then
  unknown()
  record.s, record.e = 'u', now + ttl
end
local answer = look()
if answer[1] ~= 'run' then return answer end
local number = record and record.a + 1 or 1
call('DEL', key)
call('HSET', key, 's', 's', 'o', owner, 'a', text(number), 'f', ARGV[7], 'b', text(now), 'l', text(now + lease),
     'e', '0', 'n', ARGV[8])
call('ZADD', index, text(now + lease), id)
keep(lease + ttl)
return decide('run', 0, number)
)lua";

constexpr const char* kComplete = R"lua(
if again and record and record.s == 'c' and record.o == owner and record.a == attempt then return changed(true) end
if not owns() then return changed(false) end
return complete()
)lua";

constexpr const char* kRelease = R"lua(
if not owns() then return changed(again and not record) end
return free()
)lua";

constexpr const char* kUnknown = R"lua(
if not owns() then return changed(false) end
unknown()
return changed(true)
)lua";

constexpr const char* kRenew = R"lua(
if not owns() or record.s ~= 's' then return changed(false) end
call('HSET', key, 'l', text(now + lease))
call('ZADD', index, text(now + lease), id)
keep(lease + ttl)
return changed(true)
)lua";

constexpr const char* kResolve = R"lua(
if not record or forgotten() then return changed(false) end
if record.s ~= 'u' and not (record.s == 's' and record.l <= now) then return changed(false) end
if ARGV[11] == '' then return free() end
return complete()
)lua";

// What the server has forgotten by itself leaves the index here, a few at a time.
constexpr const char* kList = R"lua(
local call = redis.call
local now = ARGV[1]
if now == '-' then
  local time = call('TIME')
  now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
end
local out = {}
for _, id in ipairs(call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', '0', ARGV[2])) do
  local got = call('HMGET', ARGV[3] .. id, 'n', 'b', 'e')
  if got[2] then
    out[#out + 1] = id
    out[#out + 1] = got[1]
    out[#out + 1] = got[2]
    out[#out + 1] = got[3]
  else
    call('ZREM', KEYS[1], id)
  end
end
return out
)lua";

RedisScript script(const char* body) { return RedisScript(std::string(kCommon) + body); }

}  // namespace

// In the order of Operation::Kind.
IdempotencyScripts::IdempotencyScripts()
    : scripts_{script(kLookUp),  script(kClaim), script(kComplete), script(kRelease),
               script(kUnknown), script(kRenew), script(kResolve)},
      list_(kList) {}

}  // namespace weir::store::internal
