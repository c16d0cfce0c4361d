"""Packages of the running distribution: found, downloaded and read by an ordinary user with apt and dpkg."""

from __future__ import annotations

import io
import os
import re
import subprocess
import tarfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dataplane.images.errors import ImageError, no_space
from dataplane.images.recipe import Say

MOST_SECONDS = 1800.0
"""What takes longer is given up."""
UPDATE = "sudo apt-get update"


@dataclass(frozen=True)
class Package:
    """``size``: bytes to download."""

    name: str
    version: str
    size: int
    depends: tuple[str, ...]


def described(text: str) -> dict[str, Package]:
    """The packages in what ``apt-cache show`` writes (deb-control(5)), the first of each name. Pure.

    Of alternatives, the first is taken.
    """
    packages: dict[str, Package] = {}
    for paragraph in text.split("\n\n"):
        fields = dict(re.findall(r"^([A-Za-z-]+): *(.*)$", paragraph, re.MULTILINE))
        if "Package" in fields and "Version" in fields:
            wanted = f"{fields.get('Pre-Depends', '')},{fields.get('Depends', '')}".split(",")
            names = tuple(match[0] for one in wanted if (match := re.match(r"[a-z0-9.+-]+", one.strip())))
            package = Package(fields["Package"], fields["Version"], int(fields.get("Size", "0")), names)
            packages.setdefault(package.name, package)
    return packages


def show(names: Sequence[str], folder: Path) -> dict[str, Package]:
    """What apt knows about these packages. ``folder``: of the build. Raises ImageError if it does not know
    one."""
    argv = ["apt-cache", *_indexed_in(folder), "show", "--no-all-versions", *names]
    packages = described(_run(argv).stdout)
    unknown = [name for name in names if name not in packages]
    if unknown:
        raise ImageError(
            f"apt knows no package {', '.join(unknown)}", f"its lists are missing or too old: {UPDATE}"
        )
    return packages


def _indexed_in(folder: Path) -> list[str]:
    """Options with which apt keeps its index of the lists in a folder.

    An ordinary user can't write to the machine's own. Where that is missing, as in images for Docker, each
    call of apt would make it again, which takes seconds.
    """
    return [
        *("-o", f"Dir::Cache::pkgcache={folder / 'pkgcache.bin'}"),
        *("-o", f"Dir::Cache::srcpkgcache={folder / 'srcpkgcache.bin'}"),
    ]


def architecture() -> str:
    """The machine's architecture in Debian's terms; raises ImageError where there is no dpkg."""
    return _run(["dpkg", "--print-architecture"]).stdout.strip()


def download(packages: Sequence[Package], folder: Path, say: Say) -> dict[str, Path]:
    """Download packages into ``folder``, verified against apt's signed lists; each one's file by its name.

    ``say`` hears of the progress. Raises ImageError.
    """
    total = sum(package.size for package in packages)
    options = _indexed_in(folder)
    if os.geteuid() == 0:
        # the user _apt can't write in root's folders; apt would only warn of that
        options += ["-o", "APT::Sandbox::User=root"]
    wanted = (f"{package.name}={package.version}" for package in packages)
    argv = ["apt-get", *options, "download", "-q", *wanted]
    say(f"downloading {len(packages)} packages, {total / 1e6:.0f} MB")
    with (folder / "apt.log").open("w+b") as log:
        process = _started(argv, folder, log)
        try:
            _waited(process, folder, total, say)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        log.seek(0)
        text = log.read().decode("utf-8", "replace")
    if process.returncode != 0:
        raise _failed_download(text, folder)
    files = {path.name.partition("_")[0]: path for path in folder.glob("*.deb")}
    absent = [package.name for package in packages if package.name not in files]
    if absent:
        raise _failed_download(f"E: {', '.join(absent)} did not arrive", folder)
    return files


def _started(argv: Sequence[str], folder: Path, log: io.BufferedRandom) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "LC_ALL": "C"}
    try:
        return subprocess.Popen(
            argv, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment
        )
    except FileNotFoundError:
        raise _no_program(argv[0]) from None


def _waited(process: subprocess.Popen[bytes], folder: Path, total: int, say: Say) -> None:
    end = time.monotonic() + MOST_SECONDS
    while True:
        try:
            process.wait(1.0)
            return
        except subprocess.TimeoutExpired:
            if time.monotonic() > end:
                raise ImageError(
                    f"the download of packages did not end in {MOST_SECONDS / 60:.0f} minutes", "try again"
                ) from None
            size = sum(path.stat().st_size for path in folder.glob("*.deb"))
            say(f"downloading packages: {size / 1e6:.0f} of {total / 1e6:.0f} MB")


def _failed_download(text: str, folder: Path) -> ImageError:
    if "No space left on device" in text:
        return no_space(folder)
    lines = [line for line in text.splitlines() if line.startswith(("E:", "Err:"))] or text.splitlines()
    why = lines[-1].removeprefix("E: ") if lines else "apt-get gives no reason"
    if "404" in text or "Unable to locate" in text or "Can't find" in text or "was not found" in text:
        return ImageError(f"packages can't be downloaded: {why}", f"apt's lists are too old: {UPDATE}")
    return ImageError(
        f"packages can't be downloaded: {why}",
        "connect this machine to its distribution's mirror, or copy the folder that 'sdnlab image list' "
        "names from a machine with the image",
    )


@contextmanager
def opened(package: Path) -> Iterator[tarfile.TarFile]:
    """The files of a package, as a stream. Raises ImageError for a damaged one."""
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(package)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
                yield archive
        except tarfile.TarError as error:
            raise ImageError(f"{package.name} is damaged: {error}", "try again") from error
        finally:
            process.stdout.close()


def _run(argv: Sequence[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=MOST_SECONDS,
            env={**os.environ, "LC_ALL": "C"},
        )
    except FileNotFoundError:
        raise _no_program(argv[0]) from None
    except subprocess.TimeoutExpired:
        raise ImageError(f"{argv[0]} gives no answer", "is another program changing packages?") from None


def _no_program(name: str) -> ImageError:
    return ImageError(
        f"there is no {name}",
        "the image is built from packages of Debian or Ubuntu, on a machine that runs one of them",
    )
