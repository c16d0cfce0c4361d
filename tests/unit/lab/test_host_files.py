"""The names that hosts see: the lab's own come before the machine's."""

from __future__ import annotations

from lab.supervisor.files import without_names

MACHINE = """\
127.0.0.1 localhost
127.0.1.1\tvm Web.example.org web  # this machine
# 10.9.9.9 web
10.9.9.9 db
::1 localhost ip6-localhost
"""


def test_names_of_the_machine_give_way_to_those_of_the_lab() -> None:
    assert without_names(MACHINE, ["WEB", "db"]) == [
        "127.0.0.1 localhost",
        "127.0.1.1\tvm\tWeb.example.org",
        "# 10.9.9.9 web",
        "::1 localhost ip6-localhost",
    ]


def test_a_machine_without_such_names_keeps_its_file() -> None:
    assert without_names(MACHINE, ["h1", "h2"]) == MACHINE.splitlines()
