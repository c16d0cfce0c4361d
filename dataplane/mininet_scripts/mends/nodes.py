"""Nodes: what they need of the machine, and what Mininet would change in it."""

from __future__ import annotations

import resource
import shutil
from typing import Any

from mininet import cli, moduledeps, net, node, nodelib, term, util

from dataplane.hosts.packages import how_to_install
from dataplane.mininet_scripts.mends.telling import say_once


def apply() -> None:
    """Mend the functions."""
    for module in (moduledeps, node, nodelib):
        module.pathCheck = _path_check
    for module in (moduledeps, node):
        module.moduleDeps = _module_deps
    for module in (util, net):
        module.fixLimits = _fix_limits
    for module in (util, node):
        module.which = lambda program, **_: shutil.which(str(program))
    _no_windows()
    _say_of_nat()


def _path_check(*programs: str, **words: Any) -> None:
    for program in programs:
        if shutil.which(program) is None:
            package = words.get("moduleName", "it")
            remedy = how_to_install(program) or f"install {package}"
            raise SystemExit(f"sdnlab mininet: {program} is needed and not installed: {remedy}")


def _module_deps(subtract: object = None, add: object = None) -> None:
    """No kernel module is loaded or removed."""


def _fix_limits() -> None:
    """Raise this process's own limits; Mininet would change kernel parameters of the machine, too."""
    for kind, wanted in ((resource.RLIMIT_NPROC, 8192), (resource.RLIMIT_NOFILE, 16384)):
        soft, hard = resource.getrlimit(kind)
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        if soft != resource.RLIM_INFINITY and soft < limit:
            resource.setrlimit(kind, (limit, hard))


_NO_WINDOWS = "there are no windows here, xterms are left out: in CLI(net), type 'h1 COMMAND'"


def _no_windows() -> None:
    def none(*_args: Any, **_words: Any) -> list[Any]:
        say_once(_NO_WINDOWS)
        return []

    for module in (term, net, cli):
        for name in ("makeTerm", "makeTerms", "runX11"):
            if hasattr(module, name):
                setattr(module, name, none)
        if hasattr(module, "cleanUpScreens"):
            module.cleanUpScreens = lambda: None
    net.Mininet.startTerms = lambda _self: none()
    net.Mininet.stopXterms = lambda _self: None


def _say_of_nat() -> None:
    config = nodelib.NAT.config

    def configure(self: Any, **params: Any) -> Any:
        say_once(
            f"NAT {self.name} has no network behind it: the sandbox has no way out; "
            "addresses are translated up to there"
        )
        return config(self, **params)

    nodelib.NAT.config = configure
