# Paths of the Slurm bank, for its shell scripts: source it by its full path.
# What is set in the environment already is kept.

# Where slurm_bank.py lies: the directory of this file, also when it is reached through a link.
script_home="${script_home:-$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")}"

# Where what cron's passes print is kept.
cron_log_dir="${cron_log_dir:-/var/log/slurm_bank}"

# The settings: the same places in the same order as slurm_bank.py looks.
if [ -z "${SLURM_BANK_SETTINGS:-}" ]; then
    if [ -f /etc/slurm_bank/py_sb_settings.py ]; then
        SLURM_BANK_SETTINGS=/etc/slurm_bank/py_sb_settings.py
    else
        SLURM_BANK_SETTINGS="$script_home/py_sb_settings.py"
    fi
fi
export SLURM_BANK_SETTINGS

# The Python that has the bank's requirements: the virtual environment of scripts/setup, if any.
if [ -z "${PYTHON:-}" ]; then
    if [ -x "$script_home/.venv/bin/python" ]; then
        PYTHON="$script_home/.venv/bin/python"
    else
        PYTHON=/usr/bin/python3
    fi
fi

# The tool that prints the accounts table.
SQLITE3="${SQLITE3:-/usr/bin/sqlite3}"

# setting NAME: prints the value of one setting as the settings file gives it, without its quotes.
setting() {
    sed -n -E \
        -e "s/^$1[[:space:]]*=[[:space:]]*'([^']*)'[[:space:]]*(#.*)?\$/\1/p" \
        -e "s/^$1[[:space:]]*=[[:space:]]*\"([^\"]*)\"[[:space:]]*(#.*)?\$/\1/p" \
        "$SLURM_BANK_SETTINGS" | tail -n 1
}
