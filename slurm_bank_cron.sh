#!/bin/bash
# What cron runs: one pass over all accounts, in one process. As the user who owns the database:
#
#   */10 * * * * slurm /opt/slurm_bank/slurm_bank_cron.sh
#
# What the pass did goes to cron.log in cron_log_dir, where that directory is there; what went wrong
# goes to standard error, so that cron sends mail only then. The exit status is that of the pass: 75
# means that the next run will do it.
set -u
. "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/env.sh"

# What accounts use is nobody else's to read.
umask 027
if [ -d "$cron_log_dir" ] && [ -w "$cron_log_dir" ]; then
    exec >>"$cron_log_dir/cron.log"
fi
date '+%Y-%m-%dT%H:%M:%S%z'
exec "$PYTHON" "$script_home/slurm_bank.py" enforce
