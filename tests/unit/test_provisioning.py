"""What prepares machines: one script, called by each way to have one; and what the ways ask for."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = "vagrant/provision.sh"
VAGRANTFILE = ROOT / "vagrant/Vagrantfile"
OPTIONS = {"seccomp=unconfined", "apparmor=unconfined", "systempaths=unconfined"}
WAYS = ("vagrant/Vagrantfile", "Dockerfile", ".devcontainer/devcontainer.json", "vagrant/lima.yaml")


@pytest.mark.parametrize("way", [*WAYS, "vagrant/README.md"])
def test_each_way_calls_the_one_script_and_installs_nothing_itself(way: str) -> None:
    text = (ROOT / way).read_text()
    assert SCRIPT in text
    assert "apt-get install" not in text or way.endswith(".md")


def test_the_script_is_a_script_of_sh_and_can_be_run() -> None:
    assert os.access(ROOT / SCRIPT, os.X_OK)
    subprocess.run(["sh", "-n", ROOT / SCRIPT], check=True)


def test_unknown_arguments_are_refused() -> None:
    ended = subprocess.run([ROOT / SCRIPT, "--no-such"], capture_output=True, text=True)
    assert ended.returncode == 2
    assert "allowed: --offline" in ended.stderr


def test_the_packages_are_those_of_sdnlab() -> None:
    said = subprocess.run([ROOT / "sdnlab", "--packages"], capture_output=True, text=True, check=True)
    packages = said.stdout.split()
    assert {"openvswitch-switch", "mininet", "qemu-system-x86", "runc", "iperf3"} <= set(packages)
    assert len(packages) == len(set(packages))


@pytest.mark.parametrize(
    "provider", ["virtualbox", "vmware_desktop", "vmware_fusion", "vmware_workstation", "libvirt", "hyperv"]
)
def test_the_machine_has_providers_of_both_kinds_of_hypervisor(provider: str) -> None:
    assert provider in VAGRANTFILE.read_text()


def test_no_folder_is_shared_with_the_machine() -> None:
    text = VAGRANTFILE.read_text()
    assert 'synced_folder ".", "/vagrant", disabled: true' in text
    assert text.count('type: "rsync"') == text.count("synced_folder") - 1


@pytest.mark.skipif(shutil.which("ruby") is None, reason="Ruby is not installed")
def test_the_vagrantfile_is_ruby() -> None:
    subprocess.run(["ruby", "-c", VAGRANTFILE], check=True, capture_output=True)


def test_vagrant_accepts_its_file_and_sizes_are_checked(tmp_path: Path) -> None:
    vagrant = shutil.which("vagrant")
    if vagrant is None:
        pytest.skip("Vagrant is not installed")
    shutil.copy(VAGRANTFILE, tmp_path)

    def validate(**sizes: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(vagrant), "validate", "--ignore-provider"],
            cwd=tmp_path,
            env={**os.environ, "HOME": str(tmp_path), **sizes},
            capture_output=True,
            text=True,
        )

    good = validate()
    assert good.returncode == 0, good.stderr
    bad = validate(SDNLAB_MEMORY="much")
    assert bad.returncode != 0 and "SDNLAB_MEMORY" in bad.stderr


def test_containers_ask_for_the_same_and_never_for_everything() -> None:
    settings = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text())
    asked = {word.split("=", 1)[1] for word in settings["runArgs"] if word.startswith("--security-opt=")}
    assert asked == OPTIONS
    for text in ((ROOT / "Dockerfile").read_text(), (ROOT / "vagrant/README.md").read_text()):
        assert set(re.findall(r"--security-opt (\S+)", text)) >= OPTIONS
        assert "--device /dev/net/tun" in text
    assert "--device=/dev/net/tun" in settings["runArgs"]
    assert not settings.get("privileged") and not settings.get("capAdd")
    assert settings["remoteUser"] != "root"
