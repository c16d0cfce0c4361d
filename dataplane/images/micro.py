"""Builds the micro image: the distribution's kernel, BusyBox and Python in a file system in memory."""

from __future__ import annotations

import hashlib
import importlib.util
import marshal
import platform
import stat
import subprocess
from collections.abc import Mapping
from pathlib import Path

from dataplane.images import cpio, kernel, modules, packages, tree
from dataplane.images.decompress import decompress
from dataplane.images.errors import ImageError
from dataplane.images.packages import Package
from dataplane.images.recipe import Base, Recipe, Say

KERNELS = {"debian": "linux-image-amd64", "ubuntu": "linux-image-virtual"}
"""The package that names a distribution's kernel with all its drivers."""
ARGUMENTS = (
    "console=ttyS0 quiet panic=-1 "
    # what an emulated processor would spend 2 s on, and a machine that serves one lab does not need
    "mitigations=off rodata=off cryptomgr.notests audit=0 lsm= tsc=reliable no_timer_check "
    "i8042.noaux i8042.nokbd "
    # interrupts by the firmware's MP table: ACPI's is a program of QEMU's, 0.1 s for each PCI device
    "acpi=noirq"
)
"""The kernel's command line."""
FORM = 1
"""Raise it when the base of an image is made in another way than before."""

_GUEST = Path(__file__).with_name("guest")
_ROOT = Path(__file__).parents[2]
_OURS = "usr/lib/sdnlab"
_SHIPPED = (
    "dataplane/__init__.py",
    "dataplane/hosts/__init__.py",
    "dataplane/hosts/guest/*.py",
    "dataplane/hosts/serving.py",
    "linux/__init__.py",
    "linux/netlink.py",
)
"""What the guest runs of sdnlab: the agent with what it imports, and the servers."""


LEAST_MEMORY = 144 << 20
"""Bytes with which a machine boots the image. With 128 MiB its kernel panics while it unpacks the files."""


def recipe() -> Recipe:
    """How the micro image is built."""
    text = repr((FORM, KERNELS, modules.WANTED, modules.HELPERS))
    base = hashlib.sha256(text.encode()).hexdigest()[:16]
    return Recipe(base, _digest_of_guest(), ARGUMENTS, build, guest)


def build(work: Path, say: Say) -> Base:
    """Build the base of the image with files in ``work``, an empty folder. Raises ImageError."""
    name, kind = distribution(platform.freedesktop_os_release())
    if packages.architecture() != "amd64":
        raise ImageError(
            f"the micro image can't be built for this machine ({packages.architecture()})",
            "it needs a machine with amd64 (x86-64)",
        )
    wanted = _choose(kind, work)
    files = packages.download(list(wanted.values()), work, say)
    say("unpacking the kernel")
    plain, chosen, release = _kernel([files[one] for one in wanted if one.startswith("linux-")])
    say("compiling Python's modules")
    rest = _read([files[one] for one in wanted if not one.startswith("linux-")])
    python = next(one for one in wanted if one.startswith("python3.")).removesuffix("-minimal")
    compiled = _compiled(tree.of_python(rest, python), python, work / "python")
    archive = cpio.archive(
        [
            *(cpio.Entry(path, file.mode, file.data) for path, file in compiled.items()),
            *_modules(chosen, release),
            *_busybox(rest, work),
            *_folders(),
            cpio.link("usr/bin/python3", python),
        ]
    )
    return Base(plain, archive, python, {one.name: one.version for one in wanted.values()}, name)


def distribution(release: Mapping[str, str]) -> tuple[str, str]:
    """A name for people, and the key in ``KERNELS``, of what os-release(5) says. Raises ImageError. Pure."""
    name = release.get("PRETTY_NAME", release.get("ID", "this system"))
    for kind in (release.get("ID", ""), *release.get("ID_LIKE", "").split()):
        if kind in KERNELS:
            return name, kind
    raise ImageError(
        f"the micro image can't be built on {name}",
        f"it is built from packages of {' or '.join(map(str.capitalize, KERNELS))}, on a machine that runs "
        "one of them; a topology can name a machine that was exported there: image: FILE",
    )


def _choose(kind: str, work: Path) -> dict[str, Package]:
    """All packages of the image, by name; the kernel's first."""
    meta = packages.show([KERNELS[kind], "python3-minimal", "busybox-static"], work)
    images = [name for name in meta[KERNELS[kind]].depends if name.startswith("linux-image-")]
    pythons = [name for name in meta["python3-minimal"].depends if name.startswith("python3.")]
    if not images or not pythons:
        raise ImageError(
            f"the packages {KERNELS[kind]} and python3-minimal depend on nothing", packages.UPDATE
        )
    chosen = packages.show(images[:1], work)
    own = [name for name in chosen[images[0]].depends if name.startswith("linux-modules-")]
    python = pythons[0].removesuffix("-minimal")
    names = [*own, pythons[0], f"lib{python}-minimal", f"lib{python}-stdlib"]
    chosen.update(packages.show(names, work))
    chosen["busybox-static"] = meta["busybox-static"]
    while left := [name for one in chosen.values() for name in one.depends if _library(name, chosen)]:
        chosen.update(packages.show(left, work))
    return chosen


_LIBRARIES = ("libc6", "libexpat1", "zlib1g", "libgcc-s1")
"""What the interpreter needs; modules of the standard library that need more are left out."""


def _library(name: str, chosen: Mapping[str, Package]) -> bool:
    return name in _LIBRARIES and name not in chosen


def _kernel(files: list[Path]) -> tuple[bytes, list[modules.Module], str]:
    """The kernel for QEMU, its modules in their order, and its release as uname(2) gives it."""
    names = {*modules.WANTED, *modules.HELPERS}
    image, release = b"", ""
    builtin: set[str] = set()
    read: dict[str, modules.Module] = {}
    for _ in range(5):
        for file in files:
            with packages.opened(file) as archive:
                for member in archive:
                    path = tree.merged(member.name)
                    name = modules.name_of(path)
                    content = archive.extractfile(member) if member.isfile() else None
                    if content is None:
                        continue
                    if path.startswith("boot/vmlinuz-"):
                        image = content.read()
                    elif path.endswith("/modules.builtin"):
                        builtin = {modules.name_of(line) or "" for line in content.read().decode().split()}
                        release = path.split("/")[-2]
                    elif name in names and name not in read:
                        data = _plain(content.read(), path)
                        read[name] = modules.module(name, data)
        more = modules.lacking(read, builtin) - names
        if not more:
            break
        names |= more
    chosen = modules.closure(read, modules.WANTED)
    try:
        return kernel.for_qemu(image, decompress), chosen, release
    except kernel.BadKernel as error:
        raise ImageError(f"the distribution's kernel can't be used: {error}", "report this") from error


def _plain(data: bytes, path: str) -> bytes:
    if not path.endswith(".ko"):
        plain = decompress(data)
        if plain is None:
            program = "zstd" if path.endswith(".zst") else "xz-utils"
            raise ImageError(f"{path} can't be unpacked", f"sudo apt-get install {program}")
        return plain
    return data


def _read(files: list[Path]) -> dict[str, tree.File]:
    """All files and links of packages."""
    read = {}
    for file in files:
        with packages.opened(file) as archive:
            for member in archive:
                path = tree.merged(member.name)
                if member.issym():
                    read[path] = tree.File(stat.S_IFLNK | 0o777, member.linkname.encode())
                elif member.isfile() and (content := archive.extractfile(member)):
                    read[path] = tree.File(stat.S_IFREG | (member.mode & 0o755), content.read())
    return read


def _compiled(files: Mapping[str, tree.File], python: str, folder: Path) -> dict[str, tree.File]:
    """The same files with Python's modules compiled by the interpreter among them, without their source."""
    for path, file in files.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        if file.is_link:
            place.symlink_to(file.data.decode())
        else:
            place.write_bytes(file.data)
            place.chmod(file.mode & 0o777)
    library = folder / "usr/lib" / python
    loader = next(
        folder / path for path in sorted(files) if path.rpartition("/")[2].startswith("ld-linux-x86-64")
    )
    paths = {str((folder / path).parent) for path in files if ".so" in path and f"/{python}/" not in path}
    argv: list[str | Path] = [
        *(loader, "--library-path", ":".join(sorted(paths)), folder / "usr/bin" / python, "-S", "-s", "-B"),
        *("-m", "compileall", "-q", "-b", "--invalidation-mode", "unchecked-hash"),
        *("-s", str(folder), "-p", "/", str(library)),
    ]
    environment = {"PYTHONHOME": str(folder / "usr"), "PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(argv, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=300)
    if done.returncode != 0:
        said = (done.stdout + done.stderr).decode("utf-8", "replace").strip().splitlines()
        raise ImageError(f"Python's modules can't be compiled: {said[-1] if said else done.returncode}")
    compiled = {}
    for path, file in files.items():
        if path.endswith(".py") and not file.is_link:
            compiled[path + "c"] = tree.File(stat.S_IFREG | 0o644, (folder / (path + "c")).read_bytes())
        else:
            compiled[path] = file
    return compiled


def _modules(chosen: list[modules.Module], release: str) -> list[cpio.Entry]:
    place = f"usr/lib/modules/{release}"
    return [
        *(cpio.file(f"{place}/{one.name}.ko", one.data) for one in chosen),
        cpio.file(f"{place}/modules.dep", modules.dependency_table(chosen).encode()),
        cpio.file(f"{place}/modules.alias", modules.alias_table(chosen).encode()),
    ]


def _busybox(files: Mapping[str, tree.File], work: Path) -> list[cpio.Entry]:
    program = files["usr/bin/busybox"]
    place = work / "busybox"
    place.write_bytes(program.data)
    place.chmod(0o755)
    listed = subprocess.run(
        [place, "--list"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=True
    )
    applets = sorted({*listed.stdout.split()} - {"busybox"})
    return [
        cpio.Entry("usr/bin/busybox", stat.S_IFREG | 0o755, program.data),
        *(cpio.link(f"usr/bin/{name}", "busybox") for name in applets),
        cpio.link("init", "usr/bin/busybox"),
    ]


def _folders() -> list[cpio.Entry]:
    return [
        *(cpio.folder(name) for name in ("proc", "sys", "run", "etc", "mnt", "var/log")),
        *(cpio.folder(name, 0o1777) for name in ("tmp", "var/tmp")),
        cpio.folder("root", 0o700),
        *(cpio.link(name, f"usr/{name}") for name in ("bin", "sbin", "lib", "lib64")),
        cpio.link("usr/sbin", "bin"),
        cpio.link("var/run", "/run"),
        # the kernel opens it for the first process, before anything is mounted
        cpio.character_device("dev/console", 5, 1),
    ]


def guest(python: str) -> bytes:
    """The archive of what comes from sdnlab itself: what starts the guest, its agent, its servers.

    ``python``: the interpreter of the base. It is small, and made anew whenever sdnlab changes.
    """
    entries = [
        cpio.file("etc/inittab", (_GUEST / "inittab").read_bytes()),
        *(
            cpio.file(f"etc/sdnlab/{name}", (_GUEST / name).read_bytes(), 0o755)
            for name in ("start", "agent")
        ),
        cpio.file("etc/passwd", b"root::0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n"),
        cpio.file("etc/group", b"root:x:0:\ntty:x:5:\nnogroup:x:65534:\n"),
        cpio.file("etc/hosts", b"127.0.0.1 localhost\n::1 localhost\n"),
        cpio.file("etc/profile", b"export PS1='\\h:\\w\\$ ' HOME=/root\ncd\n"),
    ]
    for source in _sources():
        path = f"{_OURS}/{source.relative_to(_ROOT)}"
        text = source.read_bytes()
        entries.append(cpio.file(path, text))
        entries.extend(_compiled_here(path, text, python))
    return cpio.archive(entries)


def _compiled_here(path: str, source: bytes, python: str) -> list[cpio.Entry]:
    """The compiled module where the guest's interpreter looks for it, if it is of this process's version."""
    if python != f"python{platform.python_version().rpartition('.')[0]}":
        return []
    # PEP 552: never checked against the source
    head = importlib.util.MAGIC_NUMBER + (1).to_bytes(4, "little") + importlib.util.source_hash(source)
    code = compile(source, "/" + path, "exec", dont_inherit=True)
    folder, _, name = path.rpartition("/")
    cached = f"{folder}/__pycache__/{name.removesuffix('.py')}.{_TAG}.pyc"
    return [cpio.file(cached, head + marshal.dumps(code, _NO_REFERENCES))]


_TAG = f"cpython-{''.join(platform.python_version_tuple()[:2])}"
_NO_REFERENCES = 2
"""The form of ``marshal`` whose bytes depend on the code only, and not on what else refers to its parts."""


def _digest_of_guest() -> str:
    """A digest of what ``guest`` and ``ARGUMENTS`` are made from."""
    summing = hashlib.sha256(ARGUMENTS.encode())
    for source in (Path(__file__), *sorted(_GUEST.iterdir()), *_sources()):
        summing.update(source.name.encode() + b"\0" + source.read_bytes())
    return summing.hexdigest()[:16]


def _sources() -> list[Path]:
    return [path for pattern in _SHIPPED for path in sorted(_ROOT.glob(pattern))]
