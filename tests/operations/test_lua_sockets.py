"""Whether the Lua of Slurm's plugin can open sockets: the library is asked, not its packages."""

from pathlib import Path

import pytest

from bank.errors import Refusal
from bank.operations import lua_sockets


@pytest.fixture
def plugin() -> str:
    (found,) = Path("/usr/lib").glob("*/slurm*/job_submit_lua.so")
    return str(found)


def test_sockets_of_the_machines_own_plugin_are_found(plugin: str) -> None:
    for place in lua_sockets.find_cpath(plugin).split(";"):
        assert place.endswith("/?.so")
    assert lua_sockets.find_cpath(plugin)


def test_plugin_that_is_not_there_is_said() -> None:
    with pytest.raises(Refusal, match="/nowhere.so cannot be read"):
        lua_sockets.find_cpath("/nowhere.so")


def test_library_that_cannot_be_loaded_is_said(tmp_path: Path) -> None:
    plugin = tmp_path / "job_submit_lua.so"
    plugin.write_bytes(b"\0liblua9.9.so.0\0")
    with pytest.raises(Refusal, match=r"liblua9\.9\.so\.0 can be loaded"):
        lua_sockets.find_cpath(str(plugin))


def test_lua_without_sockets_is_said_with_what_to_install(
    plugin: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = lua_sockets._run

    def without(library: object, chunk: str) -> str:
        hidden = "package.path, package.cpath = '', '' "
        return run(library, hidden + chunk.replace("/lua/", "/none/"))  # type: ignore[arg-type]

    monkeypatch.setattr(lua_sockets, "_run", without)
    with pytest.raises(Refusal, match="module 'socket.unix' not found.*install lua-socket"):
        lua_sockets.find_cpath(plugin)
