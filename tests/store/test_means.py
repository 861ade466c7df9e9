"""What a batch of liens is decided from is what each account's standing says."""

import time
from pathlib import Path

from bank.policy.liens import Means
from bank.store import accounts, read, user_limits
from bank.store.connect import Database, reading, writing
from bank.store.means import find_means, find_means_of_users
from benchmarks.million import TABLE, Size, write

NOW = time.time_ns() // 1000


def test_means_asked_for_together_are_those_of_each_account(tmp_path: Path) -> None:
    database = Database(str(tmp_path / "bank.db"), TABLE)
    write(Path(database.path), Size(120, 1200), now=NOW)
    with writing(database) as writer:
        named = ["acc00001", "acc00002"]
        found = accounts.find_many(writer, named)
        accounts.change_many(
            writer,
            {"acc00001": {"is_unlimited": True}, "acc00002": {"credit": 7 * 3600}},
            actor="t",
            reasons=dict.fromkeys(named, ""),
            now=NOW,
        )
        writer.execute(
            "UPDATE place SET running = 100 + account_id WHERE account_id <> :id",
            [{"id": found["acc00001"].account_id}],
        )
        user_limits.change(writer, "acc00003", "user0102", 5 * 3600, actor="t", reason="", now=NOW)
    with reading(database) as reader:
        names = [*accounts.find_all(reader), "none"]
        means = find_means(reader, names)
        for name in names:
            standing = read.standing(reader, name)
            expected = standing and Means(
                name, standing.limit, standing.used, standing.set_aside, standing.account.credit
            )
            assert means.get(name) == expected
        assert means["acc00001"].limit is None
        assert means["dept000"].used > means["acc00002"].used > 0
        (of_user,) = find_means_of_users(reader, names)
        assert (of_user.account, of_user.user, of_user.limit) == ("acc00003", "user0102", 5 * 3600)
