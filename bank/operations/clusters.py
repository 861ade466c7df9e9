"""The clusters of the site, each with its configuration checked."""

from typing import NamedTuple

from bank.errors import BankError, Busy, InputError, SettingsError, SlurmError
from bank.ledger.names import listed
from bank.operations.bank import Bank
from bank.policy.configuration import obstacles
from bank.slurm import scontrol
from bank.slurm.command import run
from bank.slurm.scontrol import Config
from bank.store import liens, meters
from bank.store.connect import reading, writing
from bank.store.limits import find_limits


class Cluster(NamedTuple):
    """One cluster.

    Attributes:
        name: its name.
        on: what `-M` needs to say, None for the local one.
        config: its configuration.
    """

    name: str
    on: str | None
    config: Config


class Failure(NamedTuple):
    """What one cluster could not do: nothing was decided for its accounts there."""

    cluster: str
    error: BankError


class Found(NamedTuple):
    """The clusters of the site: those that can be worked with, and why the others cannot."""

    reached: list[Cluster]
    failures: list[Failure]


def find_clusters(bank: Bank, *, is_only_looked_at: bool = False) -> Found:
    """Find the clusters that the settings name, or the local one.

    What one cluster cannot do must not keep the others from being held.

    Args:
        bank: see `Bank`.
        is_only_looked_at: also those that can neither be metered nor held; see `what_is_unusable`.
    """
    local: Config | None = None
    reached: list[Cluster] = []
    failures: list[Failure] = []
    names: tuple[str, ...] = bank.settings.clusters
    try:
        local = _config(bank, None)
        names = names or (local.cluster,)
    except SlurmError as error:
        if not names:
            return Found([], [Failure("", error)])
        # The cluster of this machine; the others are reached through slurmdbd.
    for name in names:
        try:
            if local is not None and name == local.cluster:
                cluster = Cluster(name, None, local)
            else:
                cluster = Cluster(name, name, _config(bank, name))
            if not is_only_looked_at:
                _refuse_unusable(bank, cluster)
            reached.append(cluster)
        except BankError as error:
            failures.append(failure(bank, name, error))
    return Found(reached, failures)


def failure(bank: Bank, cluster: str, error: BankError) -> Failure:
    """Return what a cluster could not do; where there are several, the error says which it was."""
    if len(bank.settings.clusters) > 1 and f"cluster {cluster}" not in str(error):
        error.args = (f"cluster {cluster}: {error}",)
    return Failure(cluster, error)


def left_behind(bank: Bank, found: Found, *, dry_run: bool) -> list[str]:
    """Say what the bank has set on clusters that the settings do not name any more.

    What ran there is not set aside any more: nobody says how much of it still does.
    """
    named = {cluster.name for cluster in found.reached} | {one.cluster for one in found.failures}
    with reading(bank.database) as reader:
        gone = sorted(meters.find_cluster_names(reader) - named) if "" not in named else []
        limits_there = {cluster: find_limits(reader, cluster) for cluster in gone}
        is_running = any(meters.has_running(reader, cluster) for cluster in gone)
    if is_running and not dry_run:
        with writing(bank.database) as writer:
            for cluster in gone:
                liens.give_up(writer, cluster, now=bank.clock())
                meters.forget_running(writer, cluster)
    return [
        f"cluster {cluster} is not in CLUSTERS any more, and has limits of the bank's:"
        f" {listed(sorted({str(limit.association) for limit in there}))}; nothing looks after them,"
        " so lift them there with sacctmgr"
        for cluster, there in limits_there.items()
        if there
    ]


def all_clusters(bank: Bank) -> list[Cluster]:
    """Return the clusters, for what must know all of them.

    Raises:
        SlurmError: one cannot be reached.
        SettingsError: one cannot be metered or held.
    """
    found = find_clusters(bank)
    if found.failures:
        raise found.failures[0].error
    return found.reached


def find_cluster(bank: Bank, name: str | None) -> Cluster:
    """Return a cluster of the site by its name; None is the only one.

    Raises:
        InputError: the site has no such cluster, or has several and none was named.
        BankError: it cannot be reached or metered.
    """
    found = find_clusters(bank)
    reached = {cluster.name: cluster for cluster in found.reached}
    failed = {one.cluster: one.error for one in found.failures}
    names = sorted({*reached, *failed, *bank.settings.clusters} - {""})
    if name is None and len(names) > 1:
        raise InputError(f"there are several clusters: say --cluster and one of {', '.join(names)}")
    which = name or next(iter(names), "")
    if which in reached:
        return reached[which]
    # Where the local cluster did not answer, its name is not known.
    if which in failed or "" in failed:
        raise failed.get(which) or failed[""]
    raise InputError(f"{which[:80]!r} is not a cluster of the bank's; there are {', '.join(names)}")


def _refuse_unusable(bank: Bank, cluster: Cluster) -> None:
    """Stop where RawUsage is no meter or a hold would not hold.

    Raises:
        SettingsError: with every reason, and what to set in slurm.conf.
    """
    found = what_is_unusable(bank, cluster)
    if found:
        raise SettingsError(f"cluster {cluster.name} cannot be metered or held: {'; '.join(found)}")


def what_is_unusable(bank: Bank, cluster: Cluster) -> list[str]:
    """Return why RawUsage of a cluster is no meter, or a hold would not hold there."""
    config = cluster.config
    return obstacles(
        priority_type=config.priority_type,
        decay_half_life=config.decay_half_life,
        usage_reset_period=config.usage_reset_period,
        enforce=config.enforce,
        allow_hold_without_safe=bank.settings.allow_hold_without_safe,
    )


def refuse_changed(bank: Bank, cluster: Cluster) -> None:
    """Stop where the controller was restarted or reconfigured since its configuration was read.

    What it said in between would be taken for what the other process counted: a counter that came
    back from a saved state looks like one that was set to 0 and has counted since.

    Raises:
        Busy: nothing was booked; the next pass does it.
    """
    if _config(bank, cluster.on) != cluster.config:
        raise Busy(
            f"the controller of {cluster.name} was restarted or reconfigured while it was read:"
            " the next pass does it"
        )


def _config(bank: Bank, on: str | None) -> Config:
    return scontrol.read_config(run(bank.slurm, scontrol.config_arguments(on)))
