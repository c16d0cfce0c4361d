"""Names of labs, and finding those that run."""

from __future__ import annotations

import pytest

from lab import naming
from lab.failure import Exit, Failure

HEAD = "Num       RefCount Protocol Flags    Type St Inode Path\n"
LISTENING = "0000000000000000: 00000002 00000000 00010000 0001 01 31337 @sdnlab/1000/"
ACCEPTED = "0000000000000000: 00000003 00000000 00000000 0001 03 31338 @sdnlab/1000/"


def test_only_listening_sockets_of_the_user_are_labs() -> None:
    lines = [
        HEAD,
        LISTENING + "campus\n",
        LISTENING + "zwei#3\n",
        LISTENING + "no lab\n",
        LISTENING + "\x1b[2Jevil\n",
        LISTENING + "campus#1\n",
        ACCEPTED + "campus\n",
        ACCEPTED + "bound-only\n",
        LISTENING.replace("/1000/", "/1001/") + "theirs\n",
        "0000000000000000: 00000002 00000000 00010000 0001 01 4711 /run/other.sock\n",
        "0000000000000000: 00000002 00000000 00000000 0002 01 4712\n",
        "garbage\n",
    ]
    assert naming.listening(lines, 1000) == ["campus", "zwei"]
    assert naming.listening(lines, 1001) == ["theirs"]
    assert naming.listening(lines, 100) == []


@pytest.mark.parametrize("name", ["a", "quickstart", "leaf-spine.2", "Übung_3", "9"])
def test_allowed_names(name: str) -> None:
    assert naming.check_name(name) == name
    assert naming.name_from(name) == name


@pytest.mark.parametrize("name", ["", "-x", ".x", "_x", "a b", "a/b", "a\n", "a\0b", "x" * 65, "ü" * 40])
def test_refused_names(name: str) -> None:
    with pytest.raises(Failure) as failure:
        naming.check_name(name)
    assert failure.value.code == Exit.USAGE
    naming.check_name(naming.name_from(name))  # what is made of it is allowed


def test_choice_of_the_lab() -> None:
    assert naming.choose(None, ["a"]) == "a"
    assert naming.choose("b", ["a", "b"]) == "b"
    assert naming.choose(None, ["a", "b"], default="b") == "b"
    assert naming.choose(None, ["a"], default="gone") == "a"
    with pytest.raises(Failure, match="no lab is running"):
        naming.choose(None, [])
    with pytest.raises(Failure, match="no lab named 'c'"):
        naming.choose("c", ["a", "b"])
    with pytest.raises(Failure, match="a, b") as several:
        naming.choose(None, ["a", "b"])
    assert several.value.code == Exit.USAGE


def test_address_belongs_to_the_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(naming.OWNER, "4242")
    assert naming.address("x") == "\0sdnlab/4242/x"
    monkeypatch.setenv(naming.OWNER, "root")
    assert naming.address("x").startswith("\0sdnlab/") and "root" not in naming.address("x")
