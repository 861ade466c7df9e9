-- The Slurm bank asks here, before Slurm takes a job, whether it can be paid for.
--
-- Put into place by 'slurm_bank.py hooks install', with its settings beside it in
-- slurm_bank_hooks.lua. A script of the site's own lies beside it as job_submit.site.lua: it is
-- called first, and what it makes of the job is what the bank is asked about. It is read again when
-- it changes. Where it refuses a job, the bank is not asked.
--
-- slurmctld runs this under its locks, so whatever is waited for here, everybody waits for. Nothing
-- is decided here: what the job asks for is gathered, and the bank says yes or no. Works with Lua
-- 5.1 to 5.4.

local REST_SECONDS = 5
local LONGEST_QUESTION = 100000
local LONGEST_ANSWER = 4096
local MOST_HEADERS = 40
local RESTING = "it was asked in vain a moment ago"

-- slurm.h: what says "not set" and "infinite", by the width of a field. No double holds the values
-- of 64 bits exactly; what is as large as they are is no number of megabytes.
local UNSET = { [16] = 65534, [32] = 4294967294 }
local INFINITE = { [16] = 65535, [32] = 4294967295 }
local NO_MEGABYTES = 2 ^ 62

local NUMBERS = {
  user_id = 32, time_limit = 32, time_min = 32, min_cpus = 32, num_tasks = 32, min_nodes = 32,
  max_nodes = 32, het_job_offset = 32, cpus_per_task = 16, pn_min_cpus = 16, ntasks_per_node = 16,
  ntasks_per_core = 16, ntasks_per_socket = 16, ntasks_per_tres = 16, sockets_per_node = 16,
  cores_per_socket = 16, threads_per_core = 16, shared = 16, requeue = 16, core_spec = 16,
  thread_spec = 16, min_mem_per_cpu = 64, min_mem_per_node = 64, bitflags = 64,
}
local TEXTS = {
  "account", "partition", "qos", "tres_per_job", "tres_per_node", "tres_per_socket",
  "tres_per_task", "cpus_per_tres", "mem_per_tres", "array_inx", "licenses", "features",
  "req_nodes", "exc_nodes", "reservation",
}
-- Of a job that is there already.
local RECORD_NUMBERS = {
  job_id = 32, array_job_id = 32, array_task_cnt = 32, user_id = 32, time_limit = 32,
}
local RECORD_TEXTS = {
  "account", "partition", "qos", "tres_fmt_req_str", "tres_fmt_alloc_str", "admin_comment",
}

local here = debug.getinfo(1, "S").source:match("^@(.*/)") or "./"

local function say(text)
  slurm.log_info("%s", "slurm_bank: " .. text)
end

-- What the bank was not asked about since it last answered.
local unasked = { through = 0, refused = 0 }
local rests_until = 0

local has_settings, settings = pcall(dofile, here .. "slurm_bank_hooks.lua")
if not has_settings or type(settings) ~= "table" then
  say("no settings, so no job is asked about: " .. tostring(settings))
  settings = nil
end

local function load_sockets()
  package.cpath = package.cpath .. ";" .. settings.lua_cpath
  local unix = require("socket.unix")
  -- A function in old versions of LuaSocket, a table of them in new ones.
  local stream = type(unix) == "table" and (unix.stream or unix.tcp) or unix
  return { stream = stream, now = require("socket.core").gettime }
end

local has_sockets, sockets = false, "no settings"
if settings then
  has_sockets, sockets = pcall(load_sockets)
  if not has_sockets then
    say("no sockets, so the bank cannot be asked: " .. tostring(sockets))
  end
end

local ESCAPES = { ['"'] = '\\"', ["\\"] = "\\\\" }

local function quoted(text)
  return '"' .. text:gsub('[%c"\\]', function(one)
    return ESCAPES[one] or string.format("\\u%04x", one:byte())
  end) .. '"'
end

-- Returns a number as JSON, "unlimited", or nil where it was not set.
local function number(value, width)
  if type(value) ~= "number" then
    return nil
  elseif width == 64 then
    return value >= 0 and value < NO_MEGABYTES and string.format("%.0f", value) or nil
  elseif value == UNSET[width] or value == UNSET[32] then
    return nil
  elseif value == INFINITE[width] or value == INFINITE[32] then
    return '"unlimited"'
  end
  return string.format("%.0f", value)
end

local function gathered(source, numbers, texts)
  local found = {}
  for name, width in pairs(numbers) do
    local value = number(source[name], width)
    if value then
      found[#found + 1] = quoted(name) .. ":" .. value
    end
  end
  for _, name in ipairs(texts) do
    local value = source[name]
    if type(value) == "string" and value ~= "" then
      found[#found + 1] = quoted(name) .. ":" .. quoted(value)
    end
  end
  return found
end

local function object(members)
  return "{" .. table.concat(members, ",") .. "}"
end

local function question(job, others)
  local members = {
    '"job":' .. job,
    '"mode":' .. quoted(settings.mode),
    string.format('"let_through":%d,"refused":%d', unasked.through, unasked.refused),
  }
  for name, value in pairs(others) do
    members[#members + 1] = quoted(name) .. ":" .. value
  end
  return object(members)
end

-- Asks, and raises an error where there is no answer in time. Connecting, sending and receiving
-- have one deadline together.
local function asked(client, path, body)
  local wait = settings.wait_ms / 1000
  local deadline = sockets.now() + wait
  local function within_deadline()
    local left = math.min(deadline - sockets.now(), wait)
    -- A time-out of 0 or less would mean something else.
    if left <= 0 then
      error("timeout", 0)
    end
    -- Of a call as a whole, and not of each wait in it: an answer may come byte by byte.
    client:settimeout(left, "t")
  end
  local function checked(value, problem)
    if value == nil then
      error(problem, 0)
    end
    return value
  end
  within_deadline()
  checked(client:connect(settings.socket))
  within_deadline()
  checked(client:send(table.concat({
    "POST " .. path .. " HTTP/1.1", "Host: slurm-bank", "Content-Type: application/json",
    "Content-Length: " .. #body, "Connection: close", "", body,
  }, "\r\n")))
  within_deadline()
  local status = checked(client:receive("*l")):match("^HTTP/1%.%d (%d%d%d)")
  local length
  for _ = 1, MOST_HEADERS do
    within_deadline()
    local line = checked(client:receive("*l"))
    if line == "" then
      break
    end
    length = line:lower():match("^content%-length:%s*(%d+)") or length
  end
  length = tonumber(length)
  if status ~= "200" or not length or length > LONGEST_ANSWER then
    error("not an answer: status " .. tostring(status), 0)
  end
  within_deadline()
  local decision, token, message =
    checked(client:receive(length)):match("^(%l+)\n(%w*)\n([^\n]*)\n?$")
  if decision ~= "yes" and decision ~= "no" and decision ~= "unknown" then
    error("not an answer: " .. tostring(decision), 0)
  end
  return { decision = decision, token = token, message = message }
end

-- Returns the answer, or nil and why there is none.
local function answer(path, body)
  if not has_sockets then
    return nil, "no sockets"
  elseif #body > LONGEST_QUESTION then
    return nil, "the job is too long to ask about"
  end
  local rest = rests_until - sockets.now()
  -- A clock that was set back must not make it rest for longer.
  if rest > 0 and rest <= REST_SECONDS then
    return nil, RESTING
  end
  local client = sockets.stream()
  local is_answered, found = pcall(asked, client, path, body)
  client:close()
  if is_answered then
    if unasked.through + unasked.refused > 0 then
      say(string.format("the bank answers again: %d jobs were let through without it, %d refused",
        unasked.through, unasked.refused))
    end
    unasked.through, unasked.refused = 0, 0
    return found
  end
  -- A wrong answer came at once and stalls nobody.
  if not tostring(found):match("^not an answer") then
    rests_until = sockets.now() + REST_SECONDS
    say("the bank does not answer (" .. tostring(found) .. "): asked again in "
      .. REST_SECONDS .. " s")
  end
  return nil, tostring(found)
end

local function refused(message)
  slurm.log_user("%s", message)
  return slurm.ESLURM_ACCOUNTING_POLICY or slurm.ERROR
end

local function without_bank(what, why)
  local is_through = settings.fail_open or settings.mode == "report"
  -- While it rests there may be thousands: they are counted.
  if why ~= RESTING then
    say(what .. (is_through and " let through" or " refused") .. " without the bank: " .. why)
  end
  if is_through then
    unasked.through = unasked.through + 1
    return slurm.SUCCESS
  end
  unasked.refused = unasked.refused + 1
  return refused("the bank does not answer, and no job is taken without it: try again in a minute")
end

-- Returns what Slurm is to be told, and the token of what was set aside.
local function decided(what, path, body)
  local found, why = answer(path, body)
  if not found then
    return without_bank(what, why)
  elseif found.decision == "unknown" then
    return without_bank(what, found.message)
  elseif found.decision == "yes" then
    return slurm.SUCCESS, found.token
  elseif settings.mode == "report" then
    say(what .. " would be refused: " .. found.message)
    return slurm.SUCCESS
  end
  say(what .. " refused: " .. found.message)
  return refused(found.message)
end

-- A fault in here is as no answer.
local function guarded(act, ...)
  local is_done, status = pcall(act, ...)
  if not is_done then
    status = without_bank("a job", "fault: " .. tostring(status))
  end
  return status
end

local function submit(job_desc)
  local members = gathered(job_desc, NUMBERS, TEXTS)
  if not job_desc.account and job_desc.default_account then
    members[#members + 1] = '"account":' .. quoted(job_desc.default_account)
  end
  local what = "job of user " .. tostring(number(job_desc.user_id, 32))
  local status, token = decided(what, "/v1/hooks/submit", question(object(members), {}))
  -- Whatever token came with the job is not its own.
  local comment = (job_desc.admin_comment or ""):gsub("%s*%f[%w]bank:%w*", "")
  if token and token ~= "" then
    comment = (comment == "" and "" or comment .. " ") .. "bank:" .. token
  end
  if comment ~= (job_desc.admin_comment or "") then
    job_desc.admin_comment = comment
  end
  return status
end

local PRICED = { "time_limit", "account", "partition", "qos" }

local function modify(job_desc, job_rec, modify_uid)
  local changes = false
  for _, name in ipairs(PRICED) do
    local value = job_desc[name]
    changes = changes or (type(value) == "string" and value ~= "") or
      (type(value) == "number" and value ~= UNSET[32])
  end
  -- As Slurm's own limits, those of the bank do not bind root.
  if not changes or modify_uid == 0 then
    return slurm.SUCCESS
  end
  local record = object(gathered(job_rec, RECORD_NUMBERS, RECORD_TEXTS))
  local what = "change of job " .. tostring(number(job_rec.job_id, 32))
  local wanted = object(gathered(job_desc, { time_limit = 32 }, { "account", "partition", "qos" }))
  return (decided(what, "/v1/hooks/modify", question(wanted, { record = record })))
end

-- The site's own script, as it was when it could last be loaded.
local site = { path = here .. "job_submit.site.lua" }

local function load_site()
  local file = io.open(site.path, "r")
  local text = file and file:read("*a")
  if file then
    file:close()
  end
  if text == site.text then
    return
  end
  site.text = text
  slurm_job_submit, slurm_job_modify = nil, nil
  if text then
    local chunk, problem = (loadstring or load)(text, "@" .. site.path)
    local is_loaded, status = pcall(chunk or error, problem)
    if not is_loaded or (type(status) == "number" and status ~= slurm.SUCCESS) then
      local said = "slurm_bank: " .. site.path .. " cannot be loaded: " .. tostring(status)
      -- As Slurm itself does: it does not start with one, and later keeps what was there before.
      if not site.is_loaded then
        error(said, 0)
      end
      slurm.log_error("%s", said)
      return
    end
  end
  site.submit, site.modify, site.is_loaded = slurm_job_submit, slurm_job_modify, true
end

-- Calls the site's own function and then the bank's. What the site's returns is what Slurm gets, but
-- for a yes where the bank says no; so is an error in it.
local function after_site(name, bank, ...)
  local is_done, status = true, slurm.SUCCESS
  -- Its functions may call each other by their names.
  local ours = { slurm_job_submit, slurm_job_modify }
  load_site()
  if site[name] then
    slurm_job_submit, slurm_job_modify = site.submit, site.modify
    is_done, status = pcall(site[name], ...)
  end
  slurm_job_submit, slurm_job_modify = ours[1], ours[2]
  if is_done and type(status) == "number" and status ~= slurm.SUCCESS then
    return status
  end
  local banks = settings and guarded(bank, ...) or slurm.SUCCESS
  if banks ~= slurm.SUCCESS then
    return banks
  elseif not is_done then
    error(status, 0)
  end
  return status
end

load_site()

function slurm_job_submit(job_desc, part_list, submit_uid)
  return after_site("submit", submit, job_desc, part_list, submit_uid)
end

function slurm_job_modify(job_desc, job_rec, part_list, modify_uid)
  local function change()
    return modify(job_desc, job_rec, modify_uid)
  end
  return after_site("modify", change, job_desc, job_rec, part_list, modify_uid)
end

say("asks " .. (settings and (settings.socket .. ", mode " .. settings.mode) or "nobody"))
return slurm.SUCCESS
