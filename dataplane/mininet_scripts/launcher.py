"""Mends mininet, and runs the script that the command line names.

The script is the module ``__main__`` of this process, with its own folder first in ``sys.path``, as it is for
``python SCRIPT``.
"""

from __future__ import annotations

import builtins
import contextlib
import json
import os
import sys
import time
import traceback
import types
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import NoReturn

from mininet.cli import CLI

from dataplane.mininet_scripts import without_distutils
from dataplane.mininet_scripts.layout import READY, SETTINGS, Settings
from dataplane.mininet_scripts.mends import (
    controllers,
    links,
    loops,
    network,
    nodes,
    processors,
    starting,
    stopping,
    switches,
)
from dataplane.mininet_scripts.mends.telling import say

PATIENCE = 20.0
"""Timeout in seconds for the sandbox."""
OURS = ("controller", "dataplane", "lab", "linux", "nfv", "topologies", "wire")
"""Our packages. A script may have modules of these names."""
REFUSED = {
    "mn_wifi": "Mininet-WiFi needs simulated radios of the kernel (mac80211_hwsim), which a sandbox has not",
    "containernet": "Containernet needs Docker; a topology file's containers need nothing: docs/hosts.md",
}


class _Refuse(MetaPathFinder):
    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        why = REFUSED.get(name.partition(".")[0])
        if why is not None:
            raise ModuleNotFoundError(f"{name} does not run here: {why}", name=name)
        return None


def main() -> NoReturn:
    """Run the script that the command line names, and exit as it does."""
    settings = Settings(**json.loads(os.environ.pop(SETTINGS, "{}")))
    script = sys.argv[1]
    mend(settings)
    without_distutils.take_back()
    switches.wait_for_database()
    wait_for_room(settings.folder)
    sys.argv = sys.argv[1:]
    sys.path.insert(0, str(Path(script).resolve().parent))
    sys.dont_write_bytecode = True  # nothing remains beside the script
    sys.meta_path.insert(0, _Refuse())
    for name in [name for name in sys.modules if name.partition(".")[0] in OURS]:
        del sys.modules[name]
    sys.exit(run(script, settings.source))


def wait_for_room(folder: str) -> None:
    """Wait for the private folders, and enter the current folder again: it may be in one of them."""
    deadline = time.monotonic() + PATIENCE
    while not READY.exists():
        if time.monotonic() > deadline:
            raise SystemExit("sdnlab mininet: the sandbox doesn't get ready")
        time.sleep(0.002)
    with contextlib.suppress(OSError):
        os.chdir(folder)


def mend(settings: Settings) -> None:
    """Mend all parts of mininet."""
    starting.apply()
    nodes.apply()
    switches.apply()
    controllers.apply(settings.apps)
    links.apply()
    processors.apply()
    network.apply()
    loops.apply()
    stopping.apply()
    if not settings.interactive:
        CLI.readlineInited = True  # nobody types: there is no history to keep


def run(script: str, source: str | None) -> int:
    """Run the file ``script``, or ``source`` in its place, as ``__main__``; the exit code."""
    module = types.ModuleType("__main__")
    module.__file__ = script
    module.__dict__["__builtins__"] = builtins
    sys.modules["__main__"] = module
    try:
        text: str | bytes = source if source is not None else Path(script).read_bytes()
        code = compile(text, script, "exec", dont_inherit=True)
        exec(code, module.__dict__)
    except SystemExit:
        raise
    except BaseException as error:
        _report(error, script)
        if isinstance(error, KeyboardInterrupt):
            return 130
        return 1
    return 0


def _report(error: BaseException, script: str) -> None:
    """The traceback as Python shows it, from the script on; then the way out, where there is one."""
    sys.stdout.flush()
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    shown = traceback.TracebackException(type(error), error, trace)
    shown.stack = traceback.StackSummary.from_list(
        [frame for frame in shown.stack if frame.filename != __file__]
    )
    sys.stderr.write("".join(shown.format()))
    if isinstance(error, ModuleNotFoundError) and error.name:
        top = error.name.partition(".")[0]
        if top not in REFUSED:
            say(f"{top} is not installed for sdnlab's Python: {sys.executable} -m pip install {top}")
