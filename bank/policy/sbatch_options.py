"""sbatch's command line: its words become options, from all the places where sbatch looks."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from bank.errors import InputError, UsageError
from bank.policy.sbatch_table import NO, OPTIONAL, OPTIONS, REQUIRED

_BY_LETTER = {option.letter: name for name, option in OPTIONS.items() if option.letter}
_OTHER_NAMES = {"cluster": "clusters", "tasks-per-node": "ntasks-per-node"}

# Which variable stands for which option: those of sbatch(1), INPUT ENVIRONMENT VARIABLES, that
# have something to do with the cost.
_VARIABLES = {
    "SBATCH_ACCOUNT": "account",
    "SBATCH_ARRAY_INX": "array",
    "SBATCH_BURST_BUFFER": "bb",
    "SBATCH_CLUSTERS": "clusters",
    "SLURM_CLUSTERS": "clusters",
    "SBATCH_CONSTRAINT": "constraint",
    "SBATCH_CORE_SPEC": "core-spec",
    "SBATCH_CPUS_PER_GPU": "cpus-per-gpu",
    "SBATCH_DISTRIBUTION": "distribution",
    "SBATCH_EXCLUSIVE": "exclusive",
    "SBATCH_GRES": "gres",
    "SBATCH_GPUS": "gpus",
    "SBATCH_GPUS_PER_NODE": "gpus-per-node",
    "SBATCH_GPUS_PER_SOCKET": "gpus-per-socket",
    "SBATCH_GPUS_PER_TASK": "gpus-per-task",
    "SLURM_HINT": "hint",
    "SBATCH_HINT": "hint",
    "SBATCH_MEM_PER_CPU": "mem-per-cpu",
    "SBATCH_MEM_PER_GPU": "mem-per-gpu",
    "SBATCH_MEM_PER_NODE": "mem",
    "SBATCH_OVERCOMMIT": "overcommit",
    "SBATCH_PARTITION": "partition",
    "SBATCH_QOS": "qos",
    "SBATCH_RESERVATION": "reservation",
    "SBATCH_SPREAD_JOB": "spread-job",
    "SBATCH_THREAD_SPEC": "thread-spec",
    "SBATCH_THREADS_PER_CORE": "threads-per-core",
    "SBATCH_TIMELIMIT": "time",
    "SBATCH_USE_MIN_NODES": "use-min-nodes",
}
_YES = {"", "yes", "true", "y", "t"}

_BLANKS = " \t\v\f"
_MARK = "#SBATCH"
# What sbatch reads too, unless it is told not to.
_OTHER_MARKS = ("#PBS", "#BSUB")


class Given(NamedTuple):
    """An option that was given.

    Attributes:
        name: its long name.
        value: what followed it, None where nothing did.
        where: where it stood: "command line", "script" or the name of a variable.
    """

    name: str
    value: str | None
    where: str


class CommandLine(NamedTuple):
    """The words after sbatch.

    Attributes:
        components: the options of each component of the job; only a heterogeneous one has several.
        script: the name of the script, None where there is none.
    """

    components: tuple[tuple[Given, ...], ...]
    script: str | None

    def has(self, name: str) -> bool:
        """Tell whether an option was given to any component."""
        return any(given.name == name for part in self.components for given in part)

    def value(self, name: str) -> str | None:
        """Return the value of an option of the first component, None where it was not given."""
        found = [given.value for given in self.components[0] if given.name == name]
        return found[-1] if found else None


def read_command_line(words: Sequence[str]) -> CommandLine:
    """Read the words after sbatch, up to its script.

    Raises:
        UsageError: an option is not sbatch's, or has no value, or a value too much.

    Source:
        sbatch(1), SYNOPSIS; getopt(3): options end at the first word that is none, a long one may
        be cut short where it stays clear which one is meant.
    """
    components = []
    rest = list(words)
    while True:
        given, rest = _options(rest, "command line")
        components.append(tuple(given))
        if rest[:1] != [":"]:
            return CommandLine(tuple(components), rest[0] if rest else None)
        rest = rest[1:]


def read_script(text: str) -> tuple[tuple[Given, ...], ...]:
    """Read the options in a script, for each component.

    Raises:
        InputError: sbatch would not take it as a script, or it has #PBS or #BSUB lines.
        UsageError: as read_command_line.

    Source:
        sbatch(1), DESCRIPTION: lines that begin with #SBATCH, before the first command; a quote
        or a backslash keeps blanks together, # begins a comment.
    """
    if not text.startswith("#!"):
        raise InputError(
            "this does not look like a batch script: the first line must start with #! followed by"
            " the path to an interpreter"
        )
    if "\r\n" in text:
        raise InputError("the script has DOS line breaks, with which sbatch does not take it")
    components: list[list[str]] = [[]]
    for number, line in enumerate(text.split("\n"), start=1):
        if line.startswith(_MARK):
            words = _words(line.removeprefix(_MARK), number)
            if words and words[0].lower() in ("hetjob", "packjob"):
                components.append([])
                words = words[1:]
            components[-1] += words
        elif line.startswith(_OTHER_MARKS):
            raise InputError(
                f"line {number} of the script is {line[:20]!r}: sbatch reads such lines too, which"
                " is not done here; write them as #SBATCH, or give --ignore-pbs"
            )
        elif line.strip() and not line.lstrip().startswith("#"):
            break
    found = []
    for words in components:
        given, rest = _options(words, "script")
        if rest:
            raise UsageError(f"{rest[0]!r} in a #SBATCH line of the script is not an option")
        found.append(tuple(given))
    return tuple(found)


def without_other_marks(text: str) -> str:
    """Return a script as sbatch --ignore-pbs takes it: #PBS and #BSUB are comments."""
    return "\n".join("#" if line.startswith(_OTHER_MARKS) else line for line in text.split("\n"))


def read_environment(variables: Mapping[str, str]) -> tuple[Given, ...]:
    """Read the variables that sbatch takes for options.

    Source:
        sbatch(1), INPUT ENVIRONMENT VARIABLES.
    """
    found = []
    for variable, name in _VARIABLES.items():
        if variable not in variables:
            continue
        text = variables[variable]
        if OPTIONS[name].value == NO:
            if not _is_yes(text):
                continue
            found.append(Given(name, None, variable))
        else:
            is_empty = OPTIONS[name].value == OPTIONAL and not text
            found.append(Given(name, None if is_empty else text, variable))
    return tuple(found)


def _is_yes(text: str) -> bool:
    return text.lower() in _YES or (text.isdigit() and int(text) != 0)


def joined(
    line: CommandLine,
    script: Sequence[Sequence[Given]],
    environment: Sequence[Given],
) -> list[dict[str, Given]]:
    """Return the options of each component, by name; of each the one that counts.

    Source:
        sbatch(1): the command line has precedence over the environment, and that over the script.
        Seen with Slurm 22.05: a time limit, memory, account, QOS, array or list of excluded nodes
        of one component counts for those without one.
    """
    count = max(len(line.components), len(script))
    # sbatch reads the whole command line once before it reads it for each component, and forgets
    # only some options in between.
    kept = _kept(given for part in line.components for given in part)
    found = []
    for number in range(count):
        # Further components of the script get the last options of the command line once more.
        typed = line.components[min(number, len(line.components) - 1)]
        written = script[number] if number < len(script) else ()
        mine = (*kept, *written, *environment, *typed)
        found.append({given.name: given for given in mine})
        kept = _kept(found[-1].values())
    return found


def _kept(given: Iterable[Given]) -> list[Given]:
    return [one for one in given if OPTIONS[one.name].is_kept]


def _options(words: Iterable[str], where: str) -> tuple[list[Given], list[str]]:
    """Return the options at the beginning, and the words behind them."""
    given: list[Given] = []
    rest = list(words)
    while rest and rest[0].startswith("-") and rest[0] != "-":
        word = rest.pop(0)
        if word == "--":
            break
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            name = _known(name)
            given.append(Given(name, _value(name, value if equals else None, rest, word), where))
            continue
        letters = word[1:]
        while letters:
            name = _by_letter(letters[0], word)
            letters = letters[1:]
            if OPTIONS[name].value == NO:
                given.append(Given(name, None, where))
                continue
            given.append(Given(name, _value(name, letters or None, rest, word), where))
            letters = ""
    return [one._replace(name=_OTHER_NAMES.get(one.name, one.name)) for one in given], rest


def _known(name: str) -> str:
    if name in OPTIONS:
        return name
    if name == "json":
        raise UsageError("--json is not an option of sbatch: it stands right after quote")
    near = [known for known in OPTIONS if name and known.startswith(name)]
    if len({_OTHER_NAMES.get(known, known) for known in near}) == 1:
        return near[0]
    if near:
        names = ", ".join(f"--{known}" for known in near)
        raise UsageError(f"--{name} is not clear: it may be {names}")
    raise UsageError(f"--{name} is not an option of sbatch (22.05)")


def _by_letter(letter: str, word: str) -> str:
    if letter not in _BY_LETTER:
        raise UsageError(f"-{letter} in {word!r} is not an option of sbatch (22.05)")
    return _BY_LETTER[letter]


def _value(name: str, value: str | None, rest: list[str], word: str) -> str | None:
    kind = OPTIONS[name].value
    if kind == NO and value is not None:
        raise UsageError(f"--{name} takes no value: {word!r}")
    if kind == REQUIRED and value is None:
        if not rest:
            raise UsageError(f"--{name} needs a value")
        return rest.pop(0)
    return value


def _words(text: str, line: int) -> list[str]:
    """Split what follows #SBATCH into words, as sbatch does and not as a shell would.

    Raises:
        InputError: a quote has no other half.
    """
    words: list[str] = []
    word: str | None = None
    quote = ""
    is_escaped = False
    for character in text:
        if is_escaped or (quote and character not in (quote, "\\")):
            word = (word or "") + character
            is_escaped = False
        elif character == "\\":
            is_escaped = True
        elif character in "\"'":
            quote = "" if quote else character
            word = word or ""
        elif character in _BLANKS:
            # Quotes with nothing between them end the line for sbatch.
            if word == "":
                return words
            words += [word] if word else []
            word = None
        elif character == "#":
            break
        else:
            word = (word or "") + character
    if quote:
        raise InputError(f"line {line} of the script has a {quote} without its other half")
    return [*words, word] if word else words
