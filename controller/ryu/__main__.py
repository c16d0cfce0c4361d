"""Run Ryu applications: ``python -m controller.ryu [OPTIONS] APP...``.

Exit status: 0 after SIGTERM, 1 an app can't be loaded or started, 2 an option can't be used or a port is
taken, 130 after Ctrl-C.
"""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path

from controller.ryu import hub, options


def main(arguments: list[str] | None = None, program: str = "ryu-manager") -> int:
    """Run until Ctrl-C or SIGTERM; the exit status."""
    try:
        given = options.parse(sys.argv[1:] if arguments is None else arguments)
    except options.BadOption as problem:
        print(f"{program}: {problem}", file=sys.stderr)
        return 2
    if given.help:
        print(options.USAGE.format(program=program))
    sources = []
    for name in options.files(given.rest):
        file = Path(name)
        if file.is_file():
            sources.append(file.read_text(encoding="utf-8", errors="replace"))
    chosen = hub.choose(
        given.hub, sources, os.environ.get("OSKEN_HUB_TYPE"), find_spec("eventlet") is not None
    )
    loaded = hub.start(chosen, threads="--enable-debugger" not in given.rest)

    # What follows imports the standard library's modules that eventlet has replaced.
    from controller.ryu import manager

    return manager.run(given, chosen, loaded, program)


if __name__ == "__main__":
    raise SystemExit(main())
