-- What slurmctld is to job_submit.lua, as far as tests need it.
-- Arguments: the script, and a chunk that is run once the script is loaded.
slurm = { SUCCESS = 0, ERROR = -1, ESLURM_ACCOUNTING_POLICY = 2050 }
local function says(what)
  return function(...)
    print(what .. " " .. string.format(...))
  end
end
slurm.log_info, slurm.log_error, slurm.log_user = says("info"), says("error"), says("user")

-- slurm.h, as doubles.
NO_VAL, INFINITE, NO_VAL16, INFINITE16 = 4294967294, 4294967295, 65534, 65535
NO_VAL64 = 18446744073709551616.0

-- A job as the controller shows it: what is not given is not set.
function job(given)
  local found = { user_id = 1000, time_limit = NO_VAL, min_cpus = 1, cpus_per_task = NO_VAL16,
    num_tasks = NO_VAL, min_nodes = NO_VAL, max_nodes = NO_VAL, shared = NO_VAL16,
    het_job_offset = NO_VAL, bitflags = 503316480 }
  for name, value in pairs(given) do
    found[name] = value
  end
  return found
end

function submit(given)
  local desc = job(given)
  local is_done, status = pcall(slurm_job_submit, desc, {}, desc.user_id)
  print("status " .. (is_done and string.format("%.0f", status) or "error " .. tostring(status)))
  return desc
end

function modify(desc, record, uid)
  local is_done, status = pcall(slurm_job_modify, desc, record, {}, uid)
  print("status " .. (is_done and string.format("%.0f", status) or "error " .. tostring(status)))
end

local is_loaded, status = pcall(dofile, arg[1])
print("loaded " .. tostring(is_loaded) .. " " .. tostring(status))
if is_loaded then
  assert(loadfile(arg[2]))()
end
