"""scontrol show partition: what each partition takes, and whether it is up."""

from bank.errors import OutputNotUnderstood
from bank.policy.queue import Partition
from bank.slurm import tres
from bank.slurm.spans import minutes

_ANY = "ALL"


def read(output: str) -> dict[str, Partition]:
    """Read the answer to `scontrol.partitions_arguments`.

    Raises:
        OutputNotUnderstood: a partition does not say what is needed.

    Source:
        scontrol(1), show partition; slurm.conf(5) for AllowAccounts, DenyAccounts and the others.
    """
    found = {}
    for line in output.splitlines():
        if not line.startswith("PartitionName="):
            continue
        words = dict(word.split("=", 1) for word in line.split() if "=" in word)
        try:
            found[words["PartitionName"]] = _partition(words)
        except (KeyError, ValueError) as error:
            raise OutputNotUnderstood(
                f"scontrol show partition printed {line[:120]!r}: {error}"
            ) from error
    return found


def _partition(words: dict[str, str]) -> Partition:
    return Partition(
        name=words["PartitionName"],
        state=words["State"],
        max_minutes=minutes(words["MaxTime"]),
        min_nodes=int(words["MinNodes"]),
        max_nodes=None if words["MaxNodes"] == "UNLIMITED" else int(words["MaxNodes"]),
        total_nodes=int(words["TotalNodes"]),
        takes_accounts=_only(words, "AllowAccounts"),
        refuses_accounts=frozenset(words.get("DenyAccounts", "").split(",")) - {""},
        takes_qos=_only(words, "AllowQos"),
        refuses_qos=frozenset(words.get("DenyQos", "").split(",")) - {""},
        qos="" if words["QoS"] == "N/A" else words["QoS"],
        weights=tres.weights(words.get("TRESBillingWeights", "")),
    )


def _only(words: dict[str, str], name: str) -> frozenset[str] | None:
    said = words.get(name, _ANY)
    return None if said == _ANY else frozenset(said.split(","))
