#include "weir/gateway/internal/shared_limit_script.h"

namespace weir::gateway::internal {
namespace {

constexpr const char* kSource = R"lua(
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local call = redis.call
-- tostring() would write a large number as 1.7e+15.
local function text(number) return string.format('%.0f', number) end
-- The field in which a hash keeps this node's newest booking. Each kind below reads it with its own state, as `known`, and
-- writes it with each charge: a call of Redis costs more than all that is computed between two of them.
local node = 'n' .. ARGV[2]

-- A ring of the last `limit` bookings; 'h' is the slot of the oldest, absent slots are free and older than all.
local function exact(key, limit, window)
  local head = call('HMGET', key, 'h', 't', 'l', node, 'f')
  local h, newest, was = tonumber(head[1] or '0'), tonumber(head[2] or '0'), tonumber(head[3] or '0')
  if was ~= limit and was ~= 0 then  -- another limit: keeps the newest that it can hold
    local kept = {}
    for i = 0, was - 1 do
      local at = call('HGET', key, tostring((h + i) % was))
      if at then kept[#kept + 1] = at end
    end
    for i = 0, was - 1 do call('HDEL', key, tostring(i)) end
    local first = math.max(1, #kept - limit + 1)
    for i = first, #kept do call('HSET', key, tostring(i - first), kept[i]) end
    h = (#kept - first + 1) % limit
    call('HSET', key, 'h', tostring(h), 'l', tostring(limit))
  end
  local function oldest(i)  -- the i-th oldest from 0; nil: free
    local at = call('HGET', key, tostring((h + i) % limit))
    return at and tonumber(at)
  end
  -- How many places are free, and the time in the first that is not. 'f' is what the last charge left: a guess that is
  -- looked at, with its neighbours, before the search over all, since places of a small hash are found one by one.
  local guess, free, first = tonumber(head[5] or limit), nil, nil
  local function find()
    if free then return end
    local low, high = 0, limit
    local function probe(place)
      if place < low or place >= high then return end
      local at = oldest(place)
      if at and at + window > now then high, first = place, at else low = place + 1 end
    end
    probe(guess); probe(guess - 1); probe(guess + 1)
    while low < high do probe(math.floor((low + high) / 2)) end
    free = low
  end
  local self = {known = head[4]}
  function self.wait(cost)
    find()
    if cost <= free then return 0 end
    return oldest(cost - 1) + window - now
  end
  function self.charge(count)
    find()
    count = math.min(count, limit)
    newest = math.max(newest, now + 1)
    local args = {}
    for _ = 1, count do
      args[#args + 1] = tostring(h)
      args[#args + 1] = text(newest)
      h = (h + 1) % limit
      if #args >= 1000 then call('HSET', key, unpack(args)); args = {} end
    end
    args[#args + 1] = 'h'; args[#args + 1] = tostring(h)
    args[#args + 1] = 't'; args[#args + 1] = text(newest)
    args[#args + 1] = 'l'; args[#args + 1] = tostring(limit)
    args[#args + 1] = node; args[#args + 1] = text(newest)
    if count <= free then
      free, first = free - count, first or newest
    else  -- some that still counted are gone: look again
      free, first, guess = nil, nil, 0
    end
    args[#args + 1] = 'f'; args[#args + 1] = tostring(free or 0)
    call('HSET', key, unpack(args))
    return newest
  end
  function self.give(count, at)  -- takes the bookings of that moment out again; newer ones move down
    for _ = 1, count do
      local i = limit - 1
      while i >= 0 and (oldest(i) or 0) > at do i = i - 1 end
      if i < 0 or oldest(i) ~= at then return end
      for j = i, 1, -1 do
        local older = call('HGET', key, tostring((h + j - 1) % limit))
        if older then call('HSET', key, tostring((h + j) % limit), older)
        else call('HDEL', key, tostring((h + j) % limit)) end
      end
      call('HDEL', key, tostring(h))
    end
  end
  function self.look()
    find()
    if free == limit then return limit, 0, 0 end
    return free, first + window - now, newest + window - now
  end
  return self
end

-- Sixty counters a window; the oldest counts whole, so that the limit holds in every window.
local function segmented(key, limit, window)
  local width = math.ceil(window / 60)
  local all = call('HGETALL', key)
  local buckets, dead, total, newest, known = {}, {}, 0, 0, nil
  for i = 1, #all, 2 do
    if all[i] == node then known = all[i + 1] end
    if string.sub(all[i], 1, 1) == 'b' then
      local index = tonumber(string.sub(all[i], 2))
      if (index + 1) * width + window > now then
        buckets[#buckets + 1] = {index, tonumber(all[i + 1])}
        total = total + tonumber(all[i + 1])
        newest = math.max(newest, index)
      else
        dead[#dead + 1] = all[i]
      end
    end
  end
  table.sort(buckets, function(a, b) return a[1] < b[1] end)
  local self = {known = known}
  function self.wait(cost)
    local free = limit - total
    if cost <= free then return 0 end
    for _, bucket in ipairs(buckets) do
      free = free + bucket[2]
      if cost <= free then return (bucket[1] + 1) * width + window - now end
    end
    return window
  end
  function self.charge(count)
    local index = math.max(newest, math.floor((now + 1) / width))
    local booked, held = math.max(now + 1, index * width), 0
    if newest == index and #buckets > 0 then held = buckets[#buckets][2] end
    call('HSET', key, 'b' .. text(index), text(held + count), node, text(booked))
    if #dead > 0 then call('HDEL', key, unpack(dead)); dead = {} end
    if newest == index and #buckets > 0 then buckets[#buckets][2] = buckets[#buckets][2] + count
    else buckets[#buckets + 1] = {index, count} end
    newest = index
    total = total + count
    return booked
  end
  function self.give(count, at)
    local field = 'b' .. text(math.floor(at / width))
    local held = tonumber(call('HGET', key, field) or '0')
    if held > 0 then call('HINCRBY', key, field, -math.min(count, held)) end
  end
  function self.look()
    if total == 0 then return limit, 0, 0 end
    local reset = (newest + 1) * width + window - now
    return math.max(0, limit - total), (buckets[1][1] + 1) * width + window - now, reset
  end
  return self
end

local function gcra(key, limit, window, burst)
  local spacing = math.ceil(window / limit)
  local room = burst * spacing
  local head = call('HMGET', key, 'a', 'p', node)
  local due, was = math.max(now, tonumber(head[1] or '0')), tonumber(head[2] or spacing)
  -- Another rate: what is taken stays taken, in units.
  if was ~= spacing then due = now + math.ceil((due - now) / was * spacing) end
  local self = {known = head[3]}
  function self.wait(cost) return math.max(0, due + cost * spacing - now - room) end
  function self.charge(count)
    due = math.min(due + count * spacing, now + room)
    call('HSET', key, 'a', text(due), 'p', text(spacing), node, text(now + 1))
    return now + 1
  end
  function self.give(count)
    call('HSET', key, 'a', text(math.max(now, due - count * spacing)), 'p', text(spacing))
  end
  function self.look()
    local taken = due - now
    if taken == 0 then return burst, 0, 0 end
    local rest = taken % spacing
    return math.max(0, math.floor((room - taken) / spacing)), rest == 0 and spacing or rest, taken
  end
  return self
end

local function fixed(key, limit, window)
  local head = call('HMGET', key, 'w', 'c', node)
  local start, count = now - now % window, 0
  if head[1] and tonumber(head[1]) >= start then start, count = tonumber(head[1]), tonumber(head[2]) end
  local self = {known = head[3]}
  function self.wait(cost) return count + cost <= limit and 0 or start + window - now end
  function self.charge(n)
    count = count + n
    call('HSET', key, 'w', text(start), 'c', text(count), node, text(now + 1))
    return now + 1
  end
  function self.give(n, at)
    if at >= start then call('HSET', key, 'w', text(start), 'c', text(math.max(0, count - n))) end
  end
  function self.look()
    if count == 0 then return limit, 0, 0 end
    return math.max(0, limit - count), start + window - now, start + window - now
  end
  return self
end

local kinds = {exact = exact, segmented = segmented, gcra = gcra, fixed = fixed}
local limits = {}
local all = 1
for i, key in ipairs(KEYS) do
  local at = 2 + (i - 1) * 9
  local limit, window, cost = tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4])
  local one = kinds[ARGV[at + 1]](key, limit, window, tonumber(ARGV[at + 5]))
  one.key, one.cost, one.window = key, cost, window
  function one.book(count)
    one.booked = one.charge(count)
    call('PEXPIRE', key, text(math.ceil(window / 1000) + 1000))
  end
  limits[i] = one
  if ARGV[1] == 'give' then
    one.give(cost, tonumber(ARGV[at + 8]))
  else
    local owed, last, used = tonumber(ARGV[at + 7]), tonumber(ARGV[at + 8]), tonumber(ARGV[at + 9])
    if last > 0 and last + window > now and used > 0 then
      if not one.known or tonumber(one.known) < last then owed = math.max(owed, used) end
    end
    if owed > 0 then one.book(owed) end
    one.waits = cost > 0 and one.wait(cost) or 0
    if one.waits > 0 and ARGV[at + 6] == '0' then all = 0 end
  end
end
if ARGV[1] == 'give' then return {1} end
local answer = {all}
for _, one in ipairs(limits) do
  if all == 1 and one.waits == 0 and one.cost > 0 then one.book(one.cost) end
  local remaining, next, reset = one.look()
  answer[#answer + 1] = one.waits
  answer[#answer + 1] = remaining
  answer[#answer + 1] = next
  answer[#answer + 1] = reset
  answer[#answer + 1] = one.booked or 0
end
return answer
)lua";

}  // namespace

const store::RedisScript& shared_limit_script() {
  static const store::RedisScript script(kSource);
  return script;
}

}  // namespace weir::gateway::internal
