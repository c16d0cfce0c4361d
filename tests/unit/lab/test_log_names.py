"""The names of logs: those of hosts' own commands are the hosts'."""

from __future__ import annotations

from pathlib import PurePath

import pytest

from lab.supervisor.logs import name_of


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("domain-d1/ovs-vswitchd.log", "domain-d1/ovs-vswitchd"),
        ("controller.log", "controller"),
        ("host/app@7ac295f4/command.log", "app"),
        ("host/web@b830c1f2/command.log", "web/command"),
        ("host/vm@12345678/qemu.log", "vm/qemu"),
    ],
)
def test_a_log_has_the_name_of_its_host(path: str, name: str) -> None:
    assert name_of(PurePath(path), {"web"}) == name
