"""Which test goes to which process: some have a cluster, the others run what needs none.

Tests on a cluster wait more than they compute, and a cluster costs memory and time of its own. So
as many of them run side by side as there are clusters, and the others use what these leave.
"""

# ruff: noqa: ANN401 -- pytest-xdist comes without types

from typing import Any

from xdist.scheduler.loadgroup import LoadGroupScheduling  # type: ignore[import-untyped]

# The group of each test on a cluster; with another one after it, of those that share a further one.
ON_CLUSTER = "cluster"


class ClustersApart(LoadGroupScheduling):  # type: ignore[misc]
    """Gives tests on a cluster to two of three processes, and the others to all."""

    def _split_scope(self, nodeid: str) -> str:
        # A group goes to one process as a whole; this one is there only to tell tests apart.
        if nodeid.endswith(f"@{ON_CLUSTER}"):
            return nodeid
        return str(super()._split_scope(nodeid))

    def _has_cluster(self, node: Any) -> bool:
        """Say whether a process has a cluster; one in the place of a crashed one is numbered on."""
        number = int(node.gateway.id.removeprefix("gw")) % self.numnodes
        return bool(3 * number < 2 * self.numnodes)

    def _next(self, node: Any) -> str | None:
        """Return what a process does next, if there is anything for it."""
        rest = next((unit for unit in self.workqueue if not _is_on_cluster(unit)), None)
        if not self._has_cluster(node):
            return rest
        return next(filter(_is_on_cluster, self.workqueue), rest)

    def _assign_work_unit(self, node: Any) -> None:
        unit = self._next(node)
        if unit is None:
            node.shutdown()
            return
        self.workqueue.move_to_end(unit, last=False)
        super()._assign_work_unit(node)


def _is_on_cluster(unit: str) -> bool:
    return unit.endswith(f"@{ON_CLUSTER}") or unit.startswith(f"{ON_CLUSTER}_")
