"""The predecessor's dumps: written as it wrote them, and read with nothing guessed."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bank.errors import InputError
from bank.policy.dumps import check, csv_dump, json_text, rows_of_csv, rows_of_json
from bank.policy.predecessor import COLUMNS, Row
from bank.policy.thresholds import FLAGS

RECORDED = Path(__file__).parent.parent / "predecessor" / "recorded"
SOUND: list[tuple[Any, ...]] = [
    (1, "test1", 10000, "2022-04-08", False, False, False),
    (2, "proj.a-b@c+d_9", -1, "2024-02-29", True, False, True),
    (4, "dept", 0, "2022-04-08", True, True, True),
    (5, "proj", 99_999_999_999, "2022-04-08", False, True, False),
]
AWKWARD: list[tuple[Any, ...]] = [
    (1, "test1", 10000, "2022-04-08", False, False, False),
    (2, 'tést"2,x', -1, "2022-04-08", True, False, False),
    (3, "t3", None, None, True, None, False),
]


def recorded(name: str) -> str:
    return (RECORDED / name).read_bytes().decode()


@pytest.mark.parametrize(("name", "rows"), [("sound", SOUND), ("awkward", AWKWARD)])
def test_dumps_are_what_the_predecessor_wrote_to_the_byte(name: str, rows: list[Any]) -> None:
    assert json_text(rows) == recorded(f"dump_{name}.json")
    assert csv_dump(rows) == recorded(f"dump_{name}.csv")


def read_as(row: tuple[Any, ...]) -> Row:
    number, account, limit, date, *flags = row
    told = frozenset(event for event, flag in zip(FLAGS, flags, strict=True) if flag)
    return Row(number, account, account, None if limit == -1 else limit, date, told)


def test_what_the_predecessor_wrote_is_read() -> None:
    wanted = [read_as(row) for row in SOUND]
    assert rows_of_json(recorded("dump_sound.json")) == wanted
    assert rows_of_csv(recorded("dump_sound.csv")) == wanted


def test_the_predecessors_awkward_rows_are_refused_by_name() -> None:
    with pytest.raises(InputError, match="result 2: .* is not an account name.*; result 3: su_"):
        rows_of_json(recorded("dump_awkward.json"))
    with pytest.raises(InputError, match="line 3: .* is not an account name.*; line 4: su_"):
        rows_of_csv(recorded("dump_awkward.csv"))


def test_a_table_without_rows_is_a_whole_dump() -> None:
    assert json_text([]) == '{\n  "count": 0,\n  "results": [],\n  "meta": {}\n}'
    assert csv_dump([]) == ",".join(COLUMNS) + "\r\n"
    assert rows_of_json(json_text([])) == rows_of_csv(csv_dump([])) == []


names = st.from_regex(r"[a-z0-9_][a-z0-9_.@+-]{0,12}", fullmatch=True).filter(
    lambda name: name != "root"
)
tables = st.lists(
    st.tuples(
        names,
        st.integers(-1, 99_999_999_999),
        st.dates().map(lambda day: day.isoformat()),
        *[st.booleans()] * 3,
    ),
    max_size=8,
    unique_by=lambda row: row[0],
).map(lambda rows: [(number, *row) for number, row in enumerate(rows, start=1)])


@given(tables)
def test_what_is_written_is_read_back(rows: list[Any]) -> None:
    check(rows)
    assert rows_of_json(json_text(rows)) == [read_as(row) for row in rows]
    assert rows_of_csv(csv_dump(rows)) == [read_as(row) for row in rows]


def test_a_json_dump_that_is_cut_off_anywhere_is_refused() -> None:
    text = json_text(SOUND)
    for size in range(len(text)):
        with pytest.raises(InputError):
            rows_of_json(text[:size])


def test_a_csv_dump_that_is_cut_off_within_a_line_is_refused() -> None:
    text = csv_dump(SOUND)
    for size in range(len(text)):
        if text[:size].endswith("\r\n"):
            assert len(rows_of_csv(text[:size])) < len(SOUND)
            continue
        with pytest.raises(InputError):
            rows_of_csv(text[:size])


def dump(**changes: object) -> str:
    row = dict(zip(COLUMNS, SOUND[0], strict=True))
    row.update({name: value for name, value in changes.items() if name in COLUMNS})
    top = {name: value for name, value in changes.items() if name not in COLUMNS}
    return json.dumps({"count": 1, "results": [row], "meta": {}, **top})


ROW = '"id": 1, "account": "a", "date": "2022-04-08"'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is not JSON, or is cut off"),
        ("[]", "count, results, meta are expected at the top"),
        ("7", "are expected at the top"),
        ('{"count": 0, "results": []}', "it has no meta"),
        ('{"results": [], "meta": {}}', "it has no count"),
        (dump(schema=3), "is of a later version: it has 'schema'"),
        (dump(meta={"schema": 3}), "is of a later version: its meta is not empty"),
        (dump(meta=None), "its meta is not empty"),
        (dump(results={}), "its results are not a list"),
        (dump(results="ab", count=2), "its results are not a list"),
        (dump(count=2), "says count 2 and has 1 results"),
        (dump(count=True), "says count True and has 1 results"),
        (dump(count=1.0), "says count 1.0 and has 1 results"),
        (dump(count=None), "says count None"),
        (dump(results=[7]), "result 1: 7 is not a row"),
        (dump(results=[{**dict(zip(COLUMNS, SOUND[0], strict=True)), "evil": 1}]),
         "result 1: is of a later version: column 'evil'"),
        (dump(results=[dict(zip(COLUMNS[:6], SOUND[0], strict=False))]),
         "result 1: no column max_limit_informed"),
        (dump(su_limit_hrs=None), "su_limit_hrs None"),
        (dump(su_limit_hrs=-500), "su_limit_hrs -500"),
        (dump(su_limit_hrs=10.5), "su_limit_hrs 10.5"),
        (dump(su_limit_hrs="10"), "su_limit_hrs '10'"),
        (dump(su_limit_hrs=True), "su_limit_hrs True"),
        (dump(su_limit_hrs=10**30), "su_limit_hrs 1000000000"),
        (dump(date=None), "date None"),
        (dump(date="2022-02-30"), "date '2022-02-30'"),
        (dump(date="20220408"), "date '20220408'"),
        (dump(id=0), "id 0 is not a number above 0"),
        (dump(id=2**63), "id 9223372036854775808 is too large"),
        (dump(id=True), "id True"),
        (dump(account=None), "account None"),
        (dump(account="a,root"), "'a,root' is not an account name"),
        (dump(account="root"), "'root'"),
        (dump(account="\ud800"), "is not an account name"),
        (dump(account="x" * 10**6), "is not an account name"),
        (dump(date="x" * 10**6), "date 'xxx"),
        (dump(upper_limit_informed="yes"), "upper_limit_informed 'yes' is neither true nor false"),
        (dump(upper_limit_informed=2), "is neither true nor false"),
        (f'{{"count": 1, "results": [{{{ROW}, "account": "b"}}], "meta": {{}}}}',
         "has 'account' twice in one object"),
        ('{"count": 0, "count": 0, "results": [], "meta": {}}', "has 'count' twice"),
        (dump(su_limit_hrs=float("nan")), "holds NaN, which is no number"),
        (dump(su_limit_hrs=float("-inf")), "holds -Infinity, which is no number"),
        (dump().replace("10000", "9" * 5000), "is not JSON"),
        (dump().replace("10000", "1e999"), "su_limit_hrs inf"),
        ("[" * 200_000, "nested too deeply"),
        ('{"meta":' * 200_000, "nested too deeply"),
        (dump() + "x", "is not JSON"),
        ("\ufeff" + dump(), "is not JSON"),
    ],
)  # fmt: skip
def test_a_json_dump_with_anything_else_in_it_is_refused(text: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        rows_of_json(text)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


HEAD = ",".join(COLUMNS)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "does not end with the end of a line"),
        ("\n", "has no column id"),
        (f"{HEAD}", "does not end with the end of a line"),
        (f"{HEAD},evil\n", "has a column 'evil' that this version does not know"),
        (f"{HEAD},id\n", "has a column twice"),
        (HEAD.replace(",date", "") + "\n", "has no column date"),
        (f"{HEAD}\n1,a,1\n", "line 2: has 3 columns, not 7"),
        (f"{HEAD}\n\n", "line 2: has 0 columns, not 7"),
        (f"{HEAD}\n1,a,1,2022-04-08,True,False,1\n", "max_limit_informed '1' is neither"),
        (f"{HEAD}\n1,a,1,2022-04-08,True,False,true\n", "max_limit_informed 'true' is neither"),
        (f"{HEAD}\n1,a,,2022-04-08,True,False,\n", "su_limit_hrs None"),
        (f"{HEAD}\n1,a,1.0,2022-04-08,True,False,\n", "su_limit_hrs '1.0'"),
        (f"{HEAD}\n1,a, 1,2022-04-08,True,False,\n", "su_limit_hrs ' 1'"),
        (f"{HEAD}\n1,a,१,2022-04-08,True,False,\n", "su_limit_hrs '१'"),
        (f"{HEAD}\n1,a,{'9' * 5000},2022-04-08,True,False,\n", "su_limit_hrs '999"),
        (f'{HEAD}\n1,"a,1,2022-04-08,True,False,\n', "is not CSV"),
        (f'{HEAD}\n1,"a"b,1,2022-04-08,True,False,\n', "is not CSV"),
        (f"{HEAD}\n1,{'a' * 200_000},1,2022-04-08,True,False,\n", "is not CSV"),
        (f"{HEAD}\n1,a\0,1,2022-04-08,True,False,\n", "is not an account name"),
    ],
)
def test_a_csv_dump_with_anything_else_in_it_is_refused(text: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        rows_of_csv(text)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([SOUND[0], (1, *SOUND[1][1:])], "id 1 stands in"),
        ([SOUND[0], (2, *SOUND[0][1:])], "account test1 stands in"),
        ([SOUND[0], (2, "TEST1", *SOUND[0][2:])], "account test1 stands in"),
        ([*SOUND, *SOUND], ": account proj stands in"),
        ([*SOUND, *SOUND, *SOUND, *SOUND], "(and 4 more)"),
    ],
)
def test_what_must_be_there_once_is_not_taken_twice(rows: list[Any], said: str) -> None:
    for read, text in ((rows_of_json, json_text(rows)), (rows_of_csv, csv_dump(rows))):
        with pytest.raises(InputError) as caught:
            read(text)
        assert said in str(caught.value)
