-- wrk: transfers between random accounts, each with an id of its own; prints one line of JSON at the end.
local threads = 0
function setup(thread)
  threads = threads + 1
  thread:set("number", threads)
end
function init(args)
  accounts = tonumber(args[1])
  math.randomseed(os.time() * 64 + number)
  for _ = 1, 10 do math.random() end
end
local function hex(digits) return string.format("%0" .. digits .. "x", math.random(0, 16 ^ digits - 1)) end
function request()
  local debit = math.random(1, accounts)
  local credit = math.random(1, accounts - 1)
  if credit >= debit then credit = credit + 1 end
  local id = hex(8) .. "-" .. hex(4) .. "-4" .. hex(3) .. "-8" .. hex(3) .. "-" .. hex(6) .. hex(6)
  local body = string.format('{"id":"%s","debit_account_id":%d,"credit_account_id":%d,"amount":%d}',
    id, debit, credit, math.random(1, 100000))
  return wrk.format("POST", "/transfers", {["Content-Type"] = "application/json"}, body)
end
function done(summary, latency)
  local errors = summary.errors
  io.write(string.format('{"requests":%d,"microseconds":%d,"failed":%d,"p50":%d,"p99":%d}\n', summary.requests,
    summary.duration, errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
