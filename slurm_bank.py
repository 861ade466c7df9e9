#!/usr/bin/env python3
"""slurm_bank.py -- a bank for compute time on Slurm clusters.

Usage:
  slurm_bank.py (insert|modify|add|deposit|withdraw) <account> <su> [options]
  slurm_bank.py (refund|adjust|set_credit) <account> <su> [options]
  slurm_bank.py transfer <from> <to> <su> [options]
  slurm_bank.py (grant|renew) <account> [<su>] [options]
  slurm_bank.py grants <account> [options]
  slurm_bank.py (get_sus|check_service_units_limit|history) <account> [options]
  slurm_bank.py (check_end_of_date_limit|three_month_check) <account> [options]
  slurm_bank.py (reset_usage|hold|release_hold|delete) <account> [options]
  slurm_bank.py limit_user <account> <user> <su> [options]
  slurm_bank.py refund --job=<id> [options]
  slurm_bank.py refund --window <start> <end> [options]
  slurm_bank.py balance [<account>] [options]
  slurm_bank.py explain [<account>] [--job=<id>] [options]
  slurm_bank.py statement <account> [options]
  slurm_bank.py (usage|forecast) [<account>] [options]
  slurm_bank.py (list|enforce|verify|migrate) [options]
  slurm_bank.py (backup|restore) <file> [options]
  slurm_bank.py (dump_json|dump_csv|repopulate_json|repopulate_csv) <file> [options]
  slurm_bank.py (export_csv|import_csv) <file> [options]
  slurm_bank.py quote [options] [<sbatch-argument>...]
  slurm_bank.py (reconcile|liens|change_source|serve) [options]
  slurm_bank.py (token|hooks) [<argument>...]
  slurm_bank.py -h | --help
  slurm_bank.py -v | --version

Movements:
  insert                     open an account with so many SUs
  add                        give it more in the same period
  deposit                    the same, whatever ON_TOP_UP says, or more for one grant (--grant)
  modify                     set its limit, and start its period's clock again
  withdraw                   take SUs back, at most what is available
  transfer                   give SUs of one account to another; they keep their dates
  refund                     give back what an account has used; with --job what a job cost, and
                             with --window what every job cost that an outage hit: each job once
  adjust                     book use that no meter saw, or below 0 take booked use off
  set_credit                 let an account be overdrawn by so much
  grant                      give SUs from --start until before --end, also in time to come
  renew                      give the grant that follows the last one, as much and as long
  reset_usage                start a new period: nothing used, the same limit
  delete                     close it; its history stays
  limit_user                 set what one of its users may use of it in a period

Looking:
  get_sus                    its limit
  balance                    limit, used, set aside, available, percent, held or not and by whom
  grants                     its grants, with what of each is used and left
  list                       all accounts, a line each, or those that are asked for
  history                    all that happened to an account
  quote                      what a job will cost at most: a batch script, or options as sbatch
                             takes them, such as -n 4 --mem=8G -t 1:00:00 -p gpu
  explain                    why its jobs run, wait or are refused, and what would change it
  statement                  what it had, what was booked, what it has
  usage                      what was used, by user, account, partition, month or cluster
  forecast                   when SUs run out, and what will expire unused

Slurm is made to obey:
  enforce                    one pass over all accounts: what cron runs
  check_service_units_limit  the same for one account
  check_end_of_date_limit    where its period is over, do what ON_END says
  three_month_check          tell people, once, when its period ends within three months
  hold                       hold an account until release_hold
  release_hold               let it go, where it has something left

Jobs, where USAGE_SOURCE is 'jobs':
  reconcile                  charge what has run, exactly, as slurmdbd has it
  liens                      what is set aside for which job
  change_source              let jobs charge from now on, or meters, as USAGE_SOURCE says
  serve                      answer the controller, users and programs
  token, hooks               have verbs of their own: see 'token --help', 'hooks --help'

The books:
  verify                     prove that they agree with themselves; with --against-slurm compare
                             what was charged with sacct, and say what makes the difference
  migrate                    make the database, bring it up to date, or take over the
                             predecessor's
  backup, restore            a copy of all of it, while in use
  dump_json, dump_csv        the accounts table as a file, in whole SUs
  repopulate_json, repopulate_csv
                             make the accounts what such a file says, and close all others
  export_csv, import_csv     the grants of accounts as a file, exact; others stay as they are

Arguments:
  <account>  a Slurm account
  <su>       SUs, such as 10000, 10,000 or 99.5; -1 is unlimited (insert, modify, limit_user), 0 is
             nothing; below 0 takes off (adjust)
  <user>     a user whom Slurm has in the account
  <start>    a day such as 2027-01-31, or a time such as 2027-01-31T14:00; <end> likewise
  <file>     a new file for backup, dump and export, else what one of these has made

Options:
  --json         print JSON, for programs
  --dry-run      say what would be done, do nothing (whatever changes something, but for backup)
  --reason TEXT  why, for the history (movements, hold, release_hold, repopulate, import)
  --key TEXT     a name for this command: given again, it is answered and not done again
                 (movements, hold)
  --start DAY    the first day, or time, of a grant (grant, renew)
  --end DAY      the first one that does not belong to it any more (grant, renew)
  --kind TEXT    what a grant is for (grant, renew)
  --carry PERCENT  how much of what is unused at its end goes on in one that follows (grant, renew)
  --grant NUMBER   which of the account's grants (deposit, withdraw, renew)
  --cluster NAME   where it was used (refund, adjust)
  --from DAY     the first day, or time; else since the period was begun, or of all accounts the
                 last 30 days (statement, usage, verify --against-slurm)
  --to DAY       the first one that does not belong to it any more; else until now
  --itemized     each entry by itself, not sums (statement)
  --csv          each entry as a line of CSV (statement)
  --html         a page to be printed (statement)
  --by WHAT      user, account, partition (which asks sacct), month or cluster (usage)
  --chart        draw the chart although this is no terminal (forecast)
  --held         only those that are held, or stand below one that is (list)
  --over PERCENT   only those that have used so much of their limit, most used first (list)
  --ending DAYS  only those that end within so many days, or are over, first end first (list)
  --match GLOB   only those whose name is like proj*, with * ? [abc] [!abc] (list)
  --window       refund what ran from <start> to <end> (refund)
  --nodes LIST   only what ran on such nodes as c1,c[7-9] (refund --window)
  --against-slurm  compare what was charged with sacct (verify)
  --yes          do not ask (delete, restore, repopulate, import, refund --window)
  --force        delete an account that has something left; give one more than the account above
                 it has, or leave one less than an account below it has (movements, import_csv)
  --choose LIST  what to do with rows that cannot all be taken over, as migrate says (migrate)
  --since DAY    look back to that day or time for what was never charged (reconcile)
  --all          also those that have ended (liens)
  --user USER    of this user only (explain)
  --job ID       of this job only (explain); such as 123, 123_4 (a task of an array) or 123+1
                 (refund)
  -h --help      print this
  -v --version   print the version
"""

import sys

try:
    from bank.cli.main import run
except ModuleNotFoundError as error:
    if error.name != "docopt" or __name__ != "__main__":
        raise
    sys.stderr.write(
        "slurm_bank: this Python has no docopt-ng: run scripts/setup, then put .venv/bin first on"
        " PATH (docopt_missing)\n"
    )
    sys.exit(69)
except KeyboardInterrupt:
    # Nothing was begun.
    sys.exit(130)


def main() -> int:
    """Run the command that the process was started with."""
    return run(__doc__ or "", sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
