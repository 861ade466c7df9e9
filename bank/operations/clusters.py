"""The clusters of the site, each with its configuration checked."""

from typing import NamedTuple

from bank.errors import Busy, SettingsError
from bank.operations.bank import Bank
from bank.policy.configuration import obstacles
from bank.slurm import scontrol
from bank.slurm.command import run
from bank.slurm.scontrol import Config


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


def find_clusters(bank: Bank) -> list[Cluster]:
    """Return the clusters that the settings name, or the local one.

    Raises:
        SlurmError: one cannot be reached.
    """
    local = _config(bank, None)
    found = []
    for name in bank.settings.clusters or (local.cluster,):
        if name == local.cluster:
            found.append(Cluster(name, None, local))
        else:
            found.append(Cluster(name, name, _config(bank, name)))
    return found


def refuse_unusable(bank: Bank, cluster: Cluster) -> None:
    """Stop where RawUsage is no meter or a hold would not hold.

    Raises:
        SettingsError: with every reason, and what to set in slurm.conf.
    """
    config = cluster.config
    found = obstacles(
        priority_type=config.priority_type,
        decay_half_life=config.decay_half_life,
        usage_reset_period=config.usage_reset_period,
        enforce=config.enforce,
        allow_hold_without_safe=bank.settings.allow_hold_without_safe,
    )
    if found:
        raise SettingsError(f"cluster {cluster.name} cannot be metered or held: {'; '.join(found)}")


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
