"""How the use of children counts: once, for all above, and not twice over a parent's periods."""

from bank.policy.tree import Place, ancestors, used_by_children

DEPARTMENT = [
    Place("c1", "dept", None, 10),
    Place("c1", "group", "dept", 20),
    Place("c1", "proj", "group", 300),
]


def test_use_counts_for_all_above_once() -> None:
    assert used_by_children(DEPARTMENT, {}) == {("dept", "c1"): 320, ("group", "c1"): 300}


def test_what_a_parent_has_closed_counts_no_more_for_it_alone() -> None:
    settled = {("dept", "c1", "proj"): 250}
    assert used_by_children(DEPARTMENT, settled) == {("dept", "c1"): 70, ("group", "c1"): 300}


def test_each_cluster_has_a_tree_of_its_own() -> None:
    elsewhere = [Place("c2", "proj", "other", 7), Place("c2", "other", None, 1)]
    below = used_by_children([*DEPARTMENT, *elsewhere], {("dept", "c2", "proj"): 5})
    assert below == {("dept", "c1"): 320, ("group", "c1"): 300, ("other", "c2"): 7}


def test_a_circle_of_parents_ends() -> None:
    assert list(ancestors({"a": "b", "b": "a"}, "a")) == ["b"]
