"""Whether the Lua that Slurm's plugin is linked with can open a socket: it is asked itself."""

import ctypes
import glob
import re

from bank.errors import Refusal

# What the plugin is linked with, or looks for itself when it is loaded.
_LIBRARY = re.compile(rb"liblua[-.0-9]*\.so[.0-9]*")
_DIRECTORIES = (
    *("/usr/lib/*/lua/{}", "/usr/lib64/lua/{}", "/usr/lib/lua/{}"),
    *("/usr/local/lib/lua/{}", "/usr/local/lib64/lua/{}"),
)
_PACKAGES = "install lua-socket (Debian, Ubuntu, EPEL) for the Lua that Slurm is built with"


def find_cpath(plugin: str) -> str:
    """Return where the Lua of a plugin finds its sockets, as package.cpath has it.

    Args:
        plugin: path of job_submit_lua.so.

    Raises:
        Refusal: it is not there, or there are no sockets for it.
    """
    try:
        with open(plugin, "rb") as file:
            names = sorted({name.decode() for name in _LIBRARY.findall(file.read())})
    except OSError as error:
        raise Refusal(
            "no_lua_plugin",
            f"Slurm's plugin {plugin} cannot be read ({error.strerror}): install Slurm's plugins"
            " with Lua (Debian: slurm-wlm-basic-plugins)",
        ) from error
    problem = f"none of {', '.join(names) or 'its libraries'} can be loaded"
    for name in names:
        try:
            library = ctypes.CDLL(name, mode=ctypes.RTLD_GLOBAL)
        except OSError:
            continue
        version = _run(library, "error((_VERSION:match('[%d.]+')), 0)")
        found = sorted(place for one in _DIRECTORIES for place in glob.glob(one.format(version)))
        cpath = ";".join(f"{place}/?.so" for place in found)
        problem = _run(
            library,
            f"package.cpath = package.cpath .. ';{cpath}'"
            " require('socket.unix') assert(require('socket.core').gettime)",
        )
        if not problem:
            return cpath
    raise Refusal(
        "no_lua_sockets", f"Lua has no sockets ({' '.join(problem.split())[:200]}): {_PACKAGES}"
    )


def _run(library: ctypes.CDLL, chunk: str) -> str:
    """Run a chunk of Lua; return the error that it ended with, "" for none.

    Source:
        Lua reference manual, section 4: what is a function in 5.1 is a macro for another later.
    """
    library.luaL_newstate.restype = ctypes.c_void_p
    library.lua_tolstring.restype = ctypes.c_char_p
    state = ctypes.c_void_p(library.luaL_newstate())
    try:
        library.luaL_openlibs(state)
        failed = library.luaL_loadstring(state, chunk.encode())
        if not failed and hasattr(library, "lua_pcallk"):
            failed = library.lua_pcallk(state, 0, 0, 0, ctypes.c_ssize_t(0), None)
        elif not failed:
            failed = library.lua_pcall(state, 0, 0, 0)
        if not failed:
            return ""
        said = library.lua_tolstring(state, -1, None)
        return said.decode(errors="replace") if said else "an error without words"
    finally:
        library.lua_close(state)
