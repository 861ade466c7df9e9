"""scontrol show partition: what use is weighted with, what a partition takes, and if it is up."""

from collections.abc import Callable
from fractions import Fraction
from typing import TypeVar

from bank.errors import OutputNotUnderstood
from bank.policy.queue import Partition
from bank.slurm import tres
from bank.slurm.clusters import on
from bank.slurm.spans import minutes

Value = TypeVar("Value")
_ANY = "ALL"


def arguments(cluster: str | None) -> list[str]:
    """Build the question for all partitions, hidden ones too; `cluster` None is the local one."""
    return ["scontrol", *on(cluster), "-a", "-o", "show", "partition"]


def each(output: str, read_one: Callable[[dict[str, str]], Value]) -> dict[str, Value]:
    """Read each partition by what it says of itself, word by word; by name.

    Raises:
        OutputNotUnderstood: one does not say what is asked for or in another form, or there is
            none.
    """
    found = {}
    for line in output.splitlines():
        words = dict(word.split("=", 1) for word in line.split() if "=" in word)
        try:
            found[words["PartitionName"]] = read_one(words)
        except KeyError as error:
            raise OutputNotUnderstood(
                f"scontrol show partition does not say {error.args[0]} in {line[:120]!r}"
            ) from error
        except ValueError as error:
            raise OutputNotUnderstood(
                f"scontrol show partition printed {line[:120]!r}: {error}"
            ) from error
    if not found:
        raise OutputNotUnderstood("scontrol show partition printed nothing")
    return found


def weights(words: dict[str, str]) -> dict[str, Fraction]:
    """Read TRESBillingWeights of a partition; empty where it has none.

    Source:
        slurm.conf(5): without weights a job's billing is its number of CPUs.
    """
    return tres.weights(words.get("TRESBillingWeights", ""))


def read_weights(output: str) -> dict[str, dict[str, Fraction]]:
    """Read TRESBillingWeights of each partition.

    Raises:
        OutputNotUnderstood: as `each`.
    """
    return each(output, weights)


def read(output: str) -> dict[str, Partition]:
    """Read what each partition takes.

    Raises:
        OutputNotUnderstood: as `each`.

    Source:
        scontrol(1), show partition; slurm.conf(5) for AllowAccounts, DenyAccounts and the others.
    """
    return each(output, _partition)


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
        weights=weights(words),
    )


def _only(words: dict[str, str], name: str) -> frozenset[str] | None:
    said = words.get(name, _ANY)
    return None if said == _ANY else frozenset(said.split(","))
