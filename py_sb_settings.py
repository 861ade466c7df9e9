# Settings of the Slurm bank: flat NAME = value lines. The file is read, never run.
#
# It is looked for in this order: the file that SLURM_BANK_SETTINGS names,
# /etc/slurm_bank/py_sb_settings.py, and beside slurm_bank.py. Only root and the user who runs the
# bank may be able to write to it. Every setting has its default here, but for DATABASE, which every
# site must choose, and LOGFILE, which is '' where it is not set.

# --- Files -----------------------------------------------------------------------------------

# The database: an SQLite file on a local disk, in a directory of the user who runs the bank.
# 'slurm_bank.py migrate' makes it.
DATABASE = '/var/lib/slurm_bank/slurm_bank.db'

# One line of JSON for each change of the books, with the newest digests and the path of DATABASE,
# so that several banks may write the same file; '' for no log.
LOGFILE = '/var/log/slurm_bank/slurm_bank.log'

# A directory for copies of what ordinary users may see: each pass writes one for each user, which
# only that user can read, of the accounts that the user belongs to. So everybody may ask for
# 'balance' and the like without any right on DATABASE. Such as '/var/lib/slurm_bank_published', on
# a file system with ACLs, and its directory must be one that everybody may pass through; '' for
# none. Where it is set, this file must be readable by all. Copies stay when it is set to '' again,
# and their users can still open them: remove the directory then.
PUBLISHED = ''

# Name of the table in DATABASE that other programs may read: one row an account, whole SUs.
DB_TABLE_NAME = 'sbank'

# Where 'repopulate_json' and 'repopulate_csv' keep what was there before as a JSON dump, beside
# the copy of the database; the time is added to the name. '' for none.
DATABASE_BACKUP_JSON = ''

# --- Slurm -----------------------------------------------------------------------------------

# The clusters, in lower case, each once; [] is the one that this machine belongs to.
CLUSTERS = []

# Directory of sacctmgr, scontrol, sacct, squeue, sinfo and sdiag.
SLURM_BIN = '/usr/bin'

# Slurm's configuration file; '' is the SLURM_CONF of the environment, or Slurm's own default.
SLURM_CONF = ''

# Seconds after which a Slurm command that does not answer is ended. sacctmgr takes 40 when the
# controller is frozen.
SLURM_TIMEOUT_SECONDS = 60

# Seconds to wait until the controller shows a change that was made.
CONFIRM_SECONDS = 10

# --- Use -------------------------------------------------------------------------------------

# What charges the accounts: 'meters' is RawUsage, read by each pass; 'jobs' is each job by itself,
# as slurmdbd has it. The hooks need 'jobs'. After a change run 'slurm_bank.py change_source'.
USAGE_SOURCE = 'meters'

# What the first reading of an account counts: 'all' of its RawUsage, or nothing from before 'now'.
USAGE_BASELINE = 'all'

# --- Jobs: hooks and service, where USAGE_SOURCE is 'jobs' ------------------------------------

# What the hooks do with a job that cannot be paid for: only 'report' it, or 'enforce' the refusal.
HOOKS = 'report'

# When SUs are set aside for a job: at its 'start', for what it was really given, or already when it
# is submitted ('submit'), for what it may be given at most.
LIEN_AT = 'start'

# What of an array is set aside: what all of its tasks cost ('full'), or only those that may run at
# once ('at_once', the %N of its --array).
ARRAY_LIENS = 'full'

# Milliseconds that the controller waits for the bank at a submission, while everybody waits for
# the controller. After one answer that did not come it asks nobody for 5 seconds.
HOOK_WAIT_MS = 50

# Whether jobs are let through while the bank does not answer: True, or False to refuse them.
FAIL_OPEN = True

# What happens to a job that cannot be paid for when it starts, and cannot be held because it is
# interactive or must not be requeued: let it 'run', or 'kill' it.
START_REFUSAL = 'run'

# How the bank is told at once that a job has ended: 'jobcomp' (takes JobCompType),
# 'epilogslurmctld' (takes EpilogSlurmctld), or 'none': it is found by looking.
END_HOOK = 'none'

# The Unix socket of the service, for the controller and the users of this machine.
SERVICE_SOCKET = '/run/slurm_bank/slurm_bank.sock'

# Where the service listens for others, who need a token: '127.0.0.1:8181'; '' for nowhere. What
# goes over a network needs a proxy with TLS in front.
SERVICE_ADDRESS = ''

# A directory for what the end hook says until it is delivered; of the user who runs slurmctld.
SPOOL = '/var/spool/slurm_bank'

# --- How Slurm is made to obey ---------------------------------------------------------------

# 'hold': an account that has nothing left is stopped by the next pass. 'limit': each account gets
# GrpTRESMins=billing, so that Slurm itself starts no job that could not be paid for. It may be
# changed at any time: the next pass takes back what was set before.
ENFORCEMENT = 'hold'

# The limit that holds an account by being set to 0: 'GrpTRESMins', 'GrpTRES' or 'GrpTRESRunMins'
# (of cpu), 'GrpJobs' or 'GrpSubmitJobs'. ENFORCEMENT = 'limit' holds by it too.
ACCOUNT_HOLD = 'GrpTRESMins'

# Whether to work although AccountingStorageEnforce has no 'safe', so that a hold ends running jobs.
ALLOW_HOLD_WITHOUT_SAFE = False

# Where ENFORCEMENT is 'hold': whether an account is held as soon as what is left is no more than
# what its running jobs may still use. Limits of users within accounts do not count that: the bank
# keeps what running jobs may still use for accounts only.
HOLD_COUNTS_RUNNING = False

# Where ENFORCEMENT is 'limit': SUs by which a limit in Slurm may let more be used than is left,
# before it is set again; whole.
LIMIT_TOLERANCE = 1

# What to do with accounts that Slurm has and that count for nobody in the bank: 'report' them,
# 'hold' them, or 'allocate' DEFAULT_ALLOCATION to each. One above a banked account is reported.
UNKNOWN_ACCOUNTS = 'report'

# First letters of the names of those accounts; '' is all of them.
PROJECT_PREFIX = ''

# SUs that an unknown account is given where UNKNOWN_ACCOUNTS is 'allocate'; whole.
DEFAULT_ALLOCATION = 1

# --- Top-ups ---------------------------------------------------------------------------------

# What 'add' does with use so far: 'keep' it, or 'reset' it: book it off against what was granted
# and set RawUsage to 0. What is available is the same.
ON_TOP_UP = 'keep'

# --- Periods ---------------------------------------------------------------------------------

# Days of an account's period: its last day is so many days after the one on which it began.
PROPOSAL_LENGTH_DAYS = 365

# Whether each pass looks at the ends of all periods.
CHECK_DATES = False

# What happens to an account whose period is over: 'report' it, 'hold' it until a new period is
# started, or 'renew': start the next period with the same limit. Accounts without a limit, or with
# a limit of 0, are neither reported nor held.
ON_END = 'report'

# --- Grants with dates -----------------------------------------------------------------------

# The zone of all days and times that people give and read, such as 'Europe/Berlin'; '' is the
# machine's own. A span is from its first instant until before its last.
TIME_ZONE = ''

# Percent of what is unused at the end of a grant that is carried over into one that follows and
# is as long, where the grant itself does not say.
CARRY_OVER_PERCENT = 0

# --- Telling people --------------------------------------------------------------------------

# Percent of its limit at which people are told of an account's use: last, and first.
UPPER_LIMIT_PERCENT = 90
LOWER_LIMIT_PERCENT = 60

# A program of the site that is given one event at a time, as JSON on standard input; '' for none.
NOTIFY_COMMAND = ''
