"""``ryu.cmd.manager`` for apps that call its ``main`` themselves: the launcher loads what they name."""

from __future__ import annotations

import logging
import sys
from typing import Any

from os_ken import cfg
from os_ken.base.app_manager import AppManager

CONF = cfg.CONF
LOG = logging.getLogger("ryu-manager")


def main(args: Any = None, prog: Any = None) -> None:
    """Load the apps that ``args`` (by default, the process's) name, beside those that are loaded.

    ryu-manager runs already, so this returns at once; options in ``args`` change nothing.
    """
    words = sys.argv[1:] if args is None else list(args)
    loaded = AppManager.get_instance()
    more = [word for word in words if not word.startswith("-") and word not in loaded.applications_cls]
    if len(more) < len(words):
        LOG.warning("ryu.cmd.manager.main: ryu-manager runs already; its options are those it began with")
    loaded.load_apps(more)
