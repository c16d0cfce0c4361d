"""How many processes a host may have, and on which kernels the machine's own limit must not be touched."""

from __future__ import annotations

import resource

import pytest

from dataplane.hosts.room import bounded, closed, limits_numbers


@pytest.mark.parametrize(
    ("release", "there"),
    [
        ("6.14.0-1-amd64", True),
        ("6.18.3", True),
        ("7.0", True),
        ("6.13.12", False),
        ("6.1.0-21", False),
        ("x", False),
    ],
)
def test_the_limit_of_process_ids_is_the_machines_before_linux_6_14(release: str, there: bool) -> None:
    assert limits_numbers(release) is there


def test_a_bound_is_never_looser_than_what_there_is() -> None:
    assert bounded(100, resource.RLIM_INFINITY, resource.RLIM_INFINITY) == 100
    assert bounded(100, 30, 200) == 30 and bounded(100, 200, 200) == 100


def test_a_machine_whose_root_is_closed_is_said_how_to_open_it() -> None:
    assert closed(0o40755) == "" == closed(0o40777)
    assert closed(0o40700) == "hosts' users may not enter this machine's / (its mode is 0700): chmod 755 /"
    assert "0754" in closed(0o40754)
