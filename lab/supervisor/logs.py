"""The ends of a lab's logs."""

from __future__ import annotations

import os

from lab.naming import RUN

_MOST = 65536


def logs(own: int) -> dict[str, str]:
    """Name -> end of every log in the sandbox, at most 64 KiB of each. ``own``: a descriptor of the
    supervisor's, which stays the caller's."""
    texts = {"supervisor": _end(os.dup(own))}
    for path in sorted(RUN.rglob("*.log")):
        try:
            texts[path.relative_to(RUN).with_suffix("").as_posix()] = _end(os.open(path, os.O_RDONLY))
        except OSError:
            continue
    return texts


def _end(fd: int) -> str:
    try:
        size = os.fstat(fd).st_size
        text = os.pread(fd, _MOST, max(0, size - _MOST))
    except OSError as error:
        return f"(can't be read: {error.strerror})"
    finally:
        os.close(fd)
    return text.decode(errors="replace")
