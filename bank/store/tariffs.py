"""Prices by date: what was seen of weights and factors, since when."""

from fractions import Fraction

from bank.policy.tariffs import (
    MAX_TRES,
    PARTITION,
    QOS,
    Tariffs,
    Weights,
    read_weights,
    weights_text,
)
from bank.store.connect import Reader, Writer


def find_tariffs(reader: Reader, cluster: str) -> Tariffs:
    """Return all that was ever seen on a cluster."""
    weights: dict[str, list[tuple[int, Weights]]] = {}
    factors: dict[str, list[tuple[int, Fraction]]] = {}
    max_tres: list[tuple[int, bool]] = []
    for kind, name, seen_at, value in reader.query(
        "SELECT kind, name, seen_at, value FROM tariff WHERE cluster = :cluster ORDER BY seen_at",
        cluster=cluster,
    ):
        if kind == PARTITION:
            weights.setdefault(name, []).append((seen_at, read_weights(value)))
        elif kind == QOS:
            factors.setdefault(name, []).append((seen_at, Fraction(value)))
        else:
            max_tres.append((seen_at, value == "1"))
    return Tariffs(weights, factors, max_tres)


def write_seen(writer: Writer, cluster: str, seen: Tariffs) -> None:
    """Write down what was seen now, where it is another than what was seen last.

    Args:
        writer: the transaction.
        cluster: where.
        seen: one version of each, with the time at which it was seen.
    """
    texts = [
        *((PARTITION, name, at, weights_text(one)) for name, [(at, one)] in seen.weights.items()),
        *((QOS, name, at, str(one)) for name, [(at, one)] in seen.factors.items()),
        *((MAX_TRES, "", at, str(int(one))) for at, one in seen.max_tres),
    ]
    newest = {
        (kind, name): (at, value)
        for kind, name, at, value in writer.query(
            "SELECT kind, name, max(seen_at), value FROM tariff WHERE cluster = :cluster"
            " GROUP BY kind, name",
            cluster=cluster,
        )
    }
    rows = []
    for kind, name, at, value in texts:
        last_at, last = newest.get((kind, name), (-1, None))
        if value != last:
            # A clock that was set back writes nothing older than what stands there.
            row = {"kind": kind, "name": name, "seen_at": max(at, last_at + 1), "value": value}
            rows.append({"cluster": cluster, **row})
    writer.execute(
        "INSERT INTO tariff (cluster, kind, name, seen_at, value)"
        " VALUES (:cluster, :kind, :name, :seen_at, :value)",
        rows,
    )
