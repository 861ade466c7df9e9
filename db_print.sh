#!/bin/bash
# Prints the accounts table: id|account|su_limit_hrs|date|three flags, as other programs read it.
set -eu
. "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/env.sh"

if [ ! -r "$SLURM_BANK_SETTINGS" ]; then
    echo "db_print.sh: the settings file $SLURM_BANK_SETTINGS cannot be read" >&2
    exit 78
fi
database=$(setting DATABASE)
table=$(setting DB_TABLE_NAME)
table=${table:-sbank}
if [ ! -f "$database" ]; then
    echo "db_print.sh: DATABASE in $SLURM_BANK_SETTINGS is '$database', and this user sees no such" \
        "file" >&2
    exit 78
fi
if [ ! -x "$SQLITE3" ]; then
    echo "db_print.sh: there is no $SQLITE3: install the sqlite3 tool" >&2
    exit 69
fi
if ! "$SQLITE3" -batch -readonly -list "$database" "SELECT * FROM \"$table\" ORDER BY account"; then
    echo "db_print.sh: $database cannot be read (the reason stands above): run as the user who" \
        "owns it; DB_TABLE_NAME is '$table'" >&2
    exit 69
fi
