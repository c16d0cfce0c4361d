"""The way out that is named where an app imports what is not there."""

from __future__ import annotations

import pytest

from controller.ryu.missing import remedy


def missing(name: str) -> str:
    return remedy(ModuleNotFoundError(f"No module named '{name}'", name=name)) or ""


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("tkinter", "apt install python3-tk"),
        ("_tkinter", "apt install python3-tk"),
        ("sqlite3", "was built or installed without it"),
        ("distutils.version", "pip install setuptools"),
        ("imp", "pip install zombie-imp"),
        ("asyncore", "pip install pyasyncore"),
        ("telnetlib", "pip install standard-telnetlib"),
        ("PIL.Image", "pip install pillow"),
        ("matplotlib", "pip install matplotlib"),
    ],
)
def test_a_module_that_is_not_there_has_a_way_out(module: str, words: str) -> None:
    assert words in missing(module)


@pytest.mark.parametrize("module", ["tkinter", "sqlite3"])
def test_pip_is_not_named_for_what_it_cannot_install(module: str) -> None:
    assert "pip install" not in missing(module)
