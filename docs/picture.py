"""Draws docs/demo.svg, the picture in README.md, from what the demo really prints.

    scripts/demo | .venv/bin/python docs/picture.py

It shows some of the demo's commands, whole, with all of what they said; nothing else is changed.
"""

# ruff: noqa: INP001

import re
import sys
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

PICTURE = Path(__file__).resolve().parent / "demo.svg"
COLUMNS = 92
# The commands that are shown, in the order in which the demo runs them.
SHOWN = (
    r"root\$ ./slurm_bank.py insert physics ",
    r"lab-ada\$ sbatch -A physics -p fast ",
    r"root\$ ./slurm_bank.py enforce",
    r"root\$ sshare ",
    r"lab-ada\$ sbatch -A physics -p normal -J next ",
    r"root\$ squeue ",
    r"root\$ ./slurm_bank.py add physics ",
    r"root\$ squeue ",
)
# rich's own template fetches fonts from elsewhere; a picture in a README must not.
TEMPLATE = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">
<title>The demo: an account is held by Slurm and released by a top-up</title>
<style>
.{unique_id}-matrix {{ font-family: DejaVu Sans Mono, Menlo, Consolas, monospace;
  font-size: {char_height}px; line-height: {line_height}px; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix" xml:space="preserve">
{matrix}
</g>
</g>
</svg>
"""


def blocks(transcript: str) -> list[list[str]]:
    """Return each command of a transcript with what it printed."""
    found: list[list[str]] = []
    is_inside = False
    for line in transcript.splitlines():
        if re.match(r"[a-z-]+\$ ", line):
            found.append([line])
            is_inside = True
        elif line.startswith(("  [ok]", "==", "(")) or (not line and is_inside):
            is_inside = False
        elif is_inside:
            found[-1].append(line.rstrip())
    return found


def chosen(found: list[list[str]]) -> list[list[str]]:
    """Return the commands that are shown; the hold's sshare is the first after the pass."""
    rest = iter(found)
    return [next(block for block in rest if re.match(pattern, block[0])) for pattern in SHOWN]


def draw(transcript: str) -> str:
    """Return the picture."""
    with Path("/dev/null").open("w", encoding="utf-8") as nowhere:
        console = Console(
            record=True, width=COLUMNS, file=nowhere, force_terminal=True, highlight=False
        )
        for number, (command, *output) in enumerate(chosen(blocks(transcript))):
            if number:
                console.print()
            prompt, _, typed = command.partition(" ")
            console.print(Text(f"{prompt} ", style="green") + Text(typed, style="bold white"))
            for line in output:
                text = Text(line)
                text.highlight_regex(r"cpu=0|AssocGrpCPUMinutesLimit|held now: .*", "yellow")
                text.highlight_regex(r"RUNNING", "cyan")
                console.print(text)
        return console.export_svg(
            title="scripts/demo", theme=MONOKAI, code_format=TEMPLATE, unique_id="demo"
        )


if __name__ == "__main__":
    PICTURE.write_text(draw(sys.stdin.read()), encoding="utf-8")
