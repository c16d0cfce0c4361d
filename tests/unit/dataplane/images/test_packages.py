"""What apt says of packages, and which distributions have a kernel for the micro image."""

from __future__ import annotations

import pytest

from dataplane.images import micro
from dataplane.images.errors import ImageError
from dataplane.images.packages import described

SHOWN = """\
Package: python3-minimal
Version: 3.11.2-1+b1
Pre-Depends: python3.11-minimal (>= 3.11.2-1~)
Depends: dpkg (>= 1.13.20) | cdebootstrap, libc6
Description-en: minimal subset of the Python language
 Depends: is no field here
Size: 26304

Package: python3-minimal
Version: 3.9
Size: 1
"""


def test_packages_are_read_with_all_that_they_depend_on() -> None:
    package = described(SHOWN)["python3-minimal"]
    assert (package.version, package.size) == ("3.11.2-1+b1", 26304)
    assert package.depends == ("python3.11-minimal", "dpkg", "libc6")


@pytest.mark.parametrize(
    ("release", "kind"),
    [
        ({"ID": "debian", "PRETTY_NAME": "Debian 12"}, "debian"),
        ({"ID": "ubuntu"}, "ubuntu"),
        ({"ID": "linuxmint", "ID_LIKE": "ubuntu debian"}, "ubuntu"),
    ],
)
def test_a_distribution_is_recognised(release: dict[str, str], kind: str) -> None:
    assert micro.distribution(release)[1] == kind


def test_another_distribution_is_told_what_can_be_done() -> None:
    with pytest.raises(ImageError, match="can't be built on Fedora Linux 40") as error:
        micro.distribution({"ID": "fedora", "PRETTY_NAME": "Fedora Linux 40"})
    assert "Debian or Ubuntu" in error.value.remedy


def test_sdnlabs_own_part_is_the_same_each_time() -> None:
    recipe = micro.recipe()
    assert recipe.guest("python3.11") == recipe.guest("python3.11")
    assert b"dataplane/hosts/serving.py\0" in recipe.guest("python3.11")
