"""A statement as a page: one file that needs no other, for a screen and for paper."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

_STYLE = """
:root { color-scheme: light; }
body { font: 10pt/1.4 system-ui, sans-serif; margin: 2em auto; max-width: 60em; padding: 0 1em;
  color: #111; background: #fff; }
h1 { font-size: 1.4em; margin-bottom: 0; }
table { border-collapse: collapse; width: 100%; margin: 1em 0; }
caption { text-align: left; color: #444; padding-bottom: 0.5em; }
th, td { padding: 0.2em 0.6em; text-align: left; vertical-align: top; overflow-wrap: anywhere; }
thead th { border-bottom: 2px solid #111; white-space: nowrap; }
tbody tr { border-bottom: 1px solid #ddd; }
.balance td, .balance th { font-weight: bold; border-bottom: 1px solid #111; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
dl { display: grid; grid-template-columns: max-content auto; gap: 0.2em 1em; }
dt { color: #444; }
dd { margin: 0; }
@page { size: A4; margin: 15mm; }
@media print {
  body { margin: 0; max-width: none; padding: 0; font-size: 9pt; }
  thead { display: table-header-group; }
  tr, dl { break-inside: avoid; }
}
"""


def page(
    found: Mapping[str, Any],
    columns: Sequence[str],
    rows: Iterable[Mapping[str, Any]],
    numbers: frozenset[str],
) -> str:
    """Return a statement as HTML.

    Args:
        found: as `operations.statement.statement` returns it.
        columns: the keys of the rows to show.
        rows: the opening balance, what was booked, the closing balance.
        numbers: the columns whose cells are numbers.
    """
    title = f"Statement of {found['account']}"
    heads = "".join(_cell("th", name, _title(name), numbers, ' scope="col"') for name in columns)
    body = "\n".join(_row(columns, row, numbers) for row in rows)
    notes = "".join(f"<li>{escape(note)}</li>" for note in found["notes"])
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8" />
<meta name="viewport" content="width=device-width, initial-scale=1" />
<title>{escape(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
<h1>{escape(title)}</h1>
<p>From {_time(found, "start")} until before {_time(found, "end")} ({escape(found["zone"])})</p>
<table>
<caption>Amounts are SUs: one SU is one billing TRES for one hour.</caption>
<thead>
<tr>{heads}</tr>
</thead>
<tbody>
{body}
</tbody>
</table>
{_running(found["closing"])}{f"<ul>{notes}</ul>" if notes else ""}
</main>
</body>
</html>
"""


def _row(columns: Sequence[str], row: Mapping[str, Any], numbers: frozenset[str]) -> str:
    kind = ' class="balance"' if row["kind"] in ("opening balance", "closing balance") else ""
    return f"<tr{kind}>{''.join(_cell('td', name, row[name], numbers) for name in columns)}</tr>"


def _cell(tag: str, name: str, value: object, numbers: frozenset[str], more: str = "") -> str:
    kind = ' class="number"' if name in numbers else ""
    text = "" if value is None else escape(str(value))
    return f"<{tag}{more}{kind}>{text}</{tag}>"


def _running(closing: Mapping[str, Any]) -> str:
    if "set_aside_su" not in closing:
        return ""
    available = closing["available_su"]
    terms = {
        "Set aside for running jobs": closing["set_aside_su"],
        "Available": "unlimited" if available is None else available,
    }
    if closing["credit_billing_seconds"]:
        terms = {"Credit": closing["credit_su"], **terms}
    listed = "".join(f"<dt>{term}</dt><dd>{escape(said)}</dd>" for term, said in terms.items())
    return f"<dl>{listed}</dl>"


def _time(found: Mapping[str, Any], which: str) -> str:
    return f'<time datetime="{found[f"{which}_at"]}">{escape(found[which])}</time>'


def _title(name: str) -> str:
    return name.removesuffix("_su").replace("_", " ")
