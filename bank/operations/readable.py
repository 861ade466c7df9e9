"""Who may read a file: one user beside its owner, by a POSIX access control list."""

import os
import struct

from bank.errors import SettingsError

_ATTRIBUTE = "system.posix_acl_access"
_VERSION = 2
_OWNER, _USER, _GROUP, _MASK, _OTHER = 0x01, 0x02, 0x04, 0x10, 0x20
_READ, _NOBODY = 4, 0
_NO_ID = 2**32 - 1


def _readable_by(uid: int) -> bytes:
    """Return the list by which the owner and one user may read a file, and nobody else.

    Source:
        acl(5); linux/posix_acl_xattr.h: little-endian, entries in the order of their tags.
    """
    entries = (
        (_OWNER, _READ, _NO_ID),
        (_USER, _READ, uid),
        (_GROUP, _NOBODY, _NO_ID),
        (_MASK, _READ, _NO_ID),
        (_OTHER, _NOBODY, _NO_ID),
    )
    return struct.pack("<I", _VERSION) + b"".join(struct.pack("<HHI", *one) for one in entries)


def let_read(descriptor: int, uid: int, path: str) -> None:
    """Let one user read a file, and nobody else but its owner.

    Raises:
        SettingsError: the file system has no such lists.
    """
    try:
        os.setxattr(descriptor, _ATTRIBUTE, _readable_by(uid))
    except OSError as error:
        raise SettingsError(
            f"{path} cannot be made readable for one user ({error.strerror}): set PUBLISHED to a"
            " directory on a file system with ACLs"
        ) from error
