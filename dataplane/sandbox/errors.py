"""The reason why a sandbox could not be made, and the remedy: from facts to texts."""

from __future__ import annotations

import errno as errnos
import os
from dataclasses import dataclass
from pathlib import Path

from dataplane.facts import AS_ROOT, MORE_NAMESPACES, NO_APPARMOR, USERNS_CLONE


class SandboxError(Exception):
    """The system refuses a sandbox. ``what`` is a text about the failed step; ``remedy`` says what helps."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what}; {remedy}")
        self.what, self.remedy = what, remedy


@dataclass(frozen=True)
class SystemFacts:
    """The system settings that allow or forbid namespaces; None if the system has no such setting."""

    root: bool
    apparmor_restricts: int | None = None
    userns_clone: int | None = None
    max_user_namespaces: int | None = None
    container: bool = False


def _number(path: str) -> int | None:
    try:
        return int(Path(path).read_text())
    except (OSError, ValueError):
        return None


def system_facts() -> SystemFacts:
    """Read the settings of this machine."""
    return SystemFacts(
        root=os.geteuid() == 0,
        apparmor_restricts=_number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"),
        userns_clone=_number("/proc/sys/kernel/unprivileged_userns_clone"),
        max_user_namespaces=_number("/proc/sys/user/max_user_namespaces"),
        container=any(Path(mark).exists() for mark in ("/.dockerenv", "/run/.containerenv")),
    )


def explain(stage: str, errno: int, facts: SystemFacts) -> tuple[str, str]:
    """(what failed, remedy) for an errno at a stage of entering a sandbox."""
    what = f"this system does not allow a sandbox: {stage} refused"
    if errno == errnos.ENOSPC or facts.max_user_namespaces == 0:
        return what, MORE_NAMESPACES
    if facts.container:
        return (
            what,
            "start the container with --privileged (its seccomp filter or masked /proc forbids namespaces)",
        )
    if errno in (errnos.EPERM, errnos.EACCES) and not facts.root:
        if facts.apparmor_restricts == 1:
            return what, NO_APPARMOR
        if facts.userns_clone == 0:
            return what, USERNS_CLONE
        return what, f"allow unprivileged user namespaces (a seccomp filter may forbid them), {AS_ROOT}"
    if errno == errnos.EPERM:
        return what, "give root CAP_SYS_ADMIN here (in a container: --privileged)"
    if errno == errnos.EINVAL:
        return what, "use a kernel built with user, PID, network, IPC and UTS namespaces"
    return what, "look at the message and at dmesg"
