"""The reasons that Slurm gives for a job that waits, from its words to ours.

Source:
    squeue(1), JOB REASON CODES, and the names that Slurm 22.05 has for all of them.
"""

import re
from typing import NamedTuple

from bank.policy.reasons import STOPS, WAITS

ASSOCIATION, QOS = "association", "QOS"


class LimitReason(NamedTuple):
    """A reason that is a limit.

    Attributes:
        holder: ASSOCIATION or QOS: whose limit.
        limit: its name in `scontrol show assoc_mgr`: "GrpTRESMins=billing"; a resource that ends
            with "/" is all of its kind, and "" is any.
    """

    holder: str
    limit: str


_RESOURCES = {
    "CPU": "cpu",
    "Cpu": "cpu",
    "Mem": "mem",
    "Memory": "mem",
    "Node": "node",
    "Billing": "billing",
    "GRES": "gres/",
    "License": "license/",
    "BB": "bb/",
    "Energy": "energy",
    "Unknown": "",
}
_RESOURCE = "|".join(_RESOURCES)
_GROUP = re.compile(rf"(Assoc|QOS)Grp({_RESOURCE})(Minutes|RunMinutes|)(?:Limit)?")
_MAX = re.compile(rf"(Assoc|QOS)Max({_RESOURCE})(MinutesPerJob|PerJob|PerNode|PerUser)(?:Limit)?")
_MAX_ACCOUNT = re.compile(rf"Max({_RESOURCE})PerAccount")
_MIN = re.compile(rf"QOSMin({_RESOURCE})(?:NotSatisfied)?")
_GROUP_FIELDS = {"": "GrpTRES", "Minutes": "GrpTRESMins", "RunMinutes": "GrpTRESRunMins"}
_MAX_FIELDS = {
    "PerJob": "MaxTRESPJ",
    "MinutesPerJob": "MaxTRESMinsPJ",
    "PerNode": "MaxTRESPN",
    "PerUser": "MaxTRESPU",
}
_COUNTS = {
    "AssocGrpJobsLimit": LimitReason(ASSOCIATION, "GrpJobs"),
    "AssocGrpSubmitJobsLimit": LimitReason(ASSOCIATION, "GrpSubmitJobs"),
    "AssocGrpWallLimit": LimitReason(ASSOCIATION, "GrpWall"),
    "AssocMaxJobsLimit": LimitReason(ASSOCIATION, "MaxJobs"),
    "AssocMaxSubmitJobLimit": LimitReason(ASSOCIATION, "MaxSubmitJobs"),
    "AssocMaxWallDurationPerJobLimit": LimitReason(ASSOCIATION, "MaxWallPJ"),
    "QOSGrpJobsLimit": LimitReason(QOS, "GrpJobs"),
    "QOSGrpSubmitJobsLimit": LimitReason(QOS, "GrpSubmitJobs"),
    "QOSGrpWallLimit": LimitReason(QOS, "GrpWall"),
    "QOSMaxJobsPerUserLimit": LimitReason(QOS, "MaxJobsPU"),
    "QOSMaxSubmitJobPerUserLimit": LimitReason(QOS, "MaxSubmitJobsPU"),
    "QOSMaxWallDurationPerJobLimit": LimitReason(QOS, "MaxWallPJ"),
    "MaxJobsPerAccount": LimitReason(QOS, "MaxJobsPA"),
    "MaxSubmitJobsPerAccount": LimitReason(QOS, "MaxSubmitJobsPA"),
}


def limit_reason(code: str) -> LimitReason | None:
    """Return which limit a reason is about, None where it is about none that is named."""
    if code in _COUNTS:
        return _COUNTS[code]
    match = _GROUP.fullmatch(code)
    if match:
        return _limit(match.group(1), _GROUP_FIELDS[match.group(3)], match.group(2))
    match = _MAX.fullmatch(code)
    if match:
        return _limit(match.group(1), _MAX_FIELDS[match.group(3)], match.group(2))
    match = _MAX_ACCOUNT.fullmatch(code)
    if match:
        return _limit("QOS", "MaxTRESPA", match.group(1))
    match = _MIN.fullmatch(code)
    return _limit("QOS", "MinTRESPJ", match.group(1)) if match else None


def _limit(holder: str, field: str, resource: str) -> LimitReason:
    whose = ASSOCIATION if holder == "Assoc" else QOS
    return LimitReason(whose, f"{field}={_RESOURCES[resource]}")


class Words(NamedTuple):
    """A reason in plain words; {job} is the number that scontrol takes.

    Attributes:
        effect: WAITS where it ends by itself, STOPS where somebody must do something.
    """

    effect: str
    sentence: str
    remedy: str


_LET_GO = "scontrol release {job}"
_ASK_ADMIN = "nothing that a user can do: tell the administrators"
_LOOK = "'scontrol show job {job}' says what it asks for"

WORDS = {
    "None": Words(WAITS, "it was not looked at yet", "wait: it is looked at within seconds"),
    "WaitingForScheduling": Words(
        WAITS, "it was not looked at yet", "wait: it is looked at within seconds"
    ),
    "Priority": Words(WAITS, "jobs of a higher priority are before it", "wait for its turn"),
    "Resources": Words(WAITS, "what it asks for is in use by other jobs", "wait for its turn"),
    "Dependency": Words(
        WAITS,
        "it waits for other jobs",
        "wait for them, or 'scontrol update jobid={job} dependency=' to wait no more",
    ),
    "DependencyNeverSatisfied": Words(
        STOPS,
        "it waits for a job that did not end as it had to, so it never starts",
        "'scontrol update jobid={job} dependency=' lets it start, 'scancel {job}' removes it",
    ),
    "JobHeldUser": Words(STOPS, "its user holds it", _LET_GO),
    "JobHeldAdmin": Words(STOPS, "an administrator holds it", f"an administrator: {_LET_GO}"),
    "JobHoldMaxRequeue": Words(STOPS, "it was requeued too often and is held", _LET_GO),
    "RequeueExit": Words(WAITS, "it ended with a status that sends it back", "wait"),
    "RequeueExitHold": Words(
        STOPS, "it ended with a status for which it is sent back and held", _LET_GO
    ),
    "BeginTime": Words(
        WAITS, "it may not start yet", "wait, or 'scontrol update jobid={job} starttime=now'"
    ),
    "JobArrayTaskLimit": Words(
        WAITS,
        "as many tasks of its array run as may run at once",
        "wait for one to end, or 'scontrol update jobid={job} arraytaskthrottle=N'",
    ),
    "Licenses": Words(WAITS, "the licenses that it asks for are in use", "wait for a job to end"),
    "Reservation": Words(WAITS, "its reservation has not begun", "wait for the reservation"),
    "ReservationDeleted": Words(
        STOPS,
        "its reservation is gone",
        "'scontrol update jobid={job} reservationname=' and 'scontrol release {job}' let it start",
    ),
    "PartitionTimeLimit": Words(
        STOPS,
        "it asks for more time than its partition allows",
        "a shorter time: 'scontrol update jobid={job} timelimit=MINUTES', or another partition",
    ),
    "PartitionNodeLimit": Words(
        STOPS,
        "it asks for more or fewer nodes than its partition allows, or has",
        "'scontrol update jobid={job} numnodes=N-N', or another partition",
    ),
    "PartitionDown": Words(
        STOPS,
        "its partition is down",
        "another partition: 'scontrol update jobid={job} partition=NAME', or wait until an"
        " administrator puts it up",
    ),
    "PartitionInactive": Words(
        STOPS,
        "its partition is inactive",
        "another partition: 'scontrol update jobid={job} partition=NAME', or wait until an"
        " administrator puts it up",
    ),
    "ReqNodeNotAvail": Words(
        STOPS,
        "a node that it needs takes no jobs now",
        "wait for the node, or ask for no node by name",
    ),
    "NodeDown": Words(STOPS, "a node that it needs is down", "wait, or ask for no node by name"),
    "FrontEndDown": Words(STOPS, "no front end node is up", _ASK_ADMIN),
    "BadConstraints": Words(
        STOPS,
        "no node can ever give what it asks for",
        f"ask for other features or less: {_LOOK}",
    ),
    "InvalidAccount": Words(
        STOPS,
        "its user may not use its account any more",
        "another account: 'scontrol update jobid={job} account=NAME'",
    ),
    "InvalidQOS": Words(
        STOPS,
        "its user may not use its QOS any more",
        "another QOS: 'scontrol update jobid={job} qos=NAME'",
    ),
    "QOSNotAllowed": Words(
        STOPS,
        "its partition does not take its QOS",
        "another partition or QOS: 'scontrol update jobid={job} partition=NAME'",
    ),
    "AccountNotAllowed": Words(
        STOPS,
        "its partition does not take its account",
        "another partition: 'scontrol update jobid={job} partition=NAME'",
    ),
    "AccountingPolicy": Words(STOPS, "a limit of its account or QOS stops it", _LOOK),
    "AssociationJobLimit": Words(WAITS, "as many jobs run as may run at once", "wait"),
    "AssociationResourceLimit": Words(STOPS, "a limit of its account stops it", _LOOK),
    "AssociationTimeLimit": Words(STOPS, "its account has no time left", _LOOK),
    "QOSJobLimit": Words(WAITS, "as many jobs of its QOS run as may run at once", "wait"),
    "QOSResourceLimit": Words(STOPS, "a limit of its QOS stops it", _LOOK),
    "QOSTimeLimit": Words(STOPS, "its QOS has no time left", _LOOK),
    "QOSUsageThreshold": Words(
        STOPS,
        "its account has used so much that this QOS does not take it",
        "another QOS: 'scontrol update jobid={job} qos=NAME'",
    ),
    "MaxMemPerLimit": Words(STOPS, "it asks for more memory than may be asked for", _LOOK),
    "PartitionConfig": Words(
        STOPS,
        "no node of its partition can give what it asks for",
        "ask for less, or another partition: 'scontrol update jobid={job} partition=NAME'",
    ),
    "JobLaunchFailure": Words(STOPS, "it could not be started on its node", _ASK_ADMIN),
    "NonZeroExitCode": Words(STOPS, "it ended with a status that is not 0", _LOOK),
    "SystemFailure": Words(STOPS, "Slurm, a file system or the network failed", _ASK_ADMIN),
    "TimeLimit": Words(STOPS, "it used all of its time", "ask for more time with --time"),
    "InactiveLimit": Words(STOPS, "it was idle for too long", _LOOK),
    "OutOfMemory": Words(STOPS, "it used more memory than it asked for", "ask for more with --mem"),
    "DeadLine": Words(STOPS, "it could not end by its deadline", "submit it again"),
    "Cleaning": Words(WAITS, "it is cleaned up after its last run", "wait"),
    "Prolog": Words(WAITS, "the program that prepares its start still runs", "wait"),
    "BurstBufferResources": Words(WAITS, "burst buffer space is in use", "wait"),
    "BurstBufferStageIn": Words(WAITS, "its files are being brought in", "wait"),
    "BurstBufferOperation": Words(STOPS, "a burst buffer operation failed", _ASK_ADMIN),
    "FedJobLock": Words(WAITS, "the clusters of the federation agree on where it runs", "wait"),
    "PowerNotAvail": Words(WAITS, "no power is to be had for it now", "wait"),
    "PowerReserved": Words(WAITS, "power is reserved for other jobs", "wait"),
    "SchedDefer": Words(WAITS, "jobs are not started one by one now", "wait"),
    # What Slurm says in free words.
    "NodesUnavailable": Words(
        STOPS,
        "the nodes that it needs are down, drained or reserved",
        "wait for the nodes, or another partition",
    ),
    "HeldAfterFailure": Words(
        STOPS, "its start failed; it was sent back and is held", f"find out why, then {_LET_GO}"
    ),
}
_IN_WORDS = (
    (re.compile(r"ReqNodeNotAvail\b.*"), "ReqNodeNotAvail"),
    (re.compile(r"Nodes required for job are .*"), "NodesUnavailable"),
    (re.compile(r"Job's account not permitted to use this partition.*"), "AccountNotAllowed"),
    (re.compile(r"Job's QOS not permitted to use this partition.*"), "QOSNotAllowed"),
    (re.compile(r".*requeued[ _](?:in[ _])?held(?:[ _]state)?.*"), "HeldAfterFailure"),
)


def code_of(reason: str) -> str:
    """Return Slurm's code for a reason that may be in free words; one unknown stays as it is."""
    for pattern, code in _IN_WORDS:
        if pattern.fullmatch(reason):
            return code
    return reason
