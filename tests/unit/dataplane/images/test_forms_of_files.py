"""Archives, ELF files, kernels, modules: forms that are read and written as values."""

from __future__ import annotations

import lzma
import shutil
import stat
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from dataplane.images import cpio, elf, kernel, modules, tree
from dataplane.images.decompress import decompress


def an_elf(sections: dict[str, bytes]) -> bytes:
    """A 64-bit ELF file with these sections, and nothing else."""
    sections = {"": b"", **sections}
    names = b"".join(name.encode() + b"\0" for name in [*sections, ".shstrtab"])
    everything = {**sections, ".shstrtab": names}
    body, heads, at = b"", b"", 64
    for name, content in everything.items():
        offset = names.index(name.encode() + b"\0")
        heads += struct.pack("<IIQQQQIIQQ", offset, 1, 0, 0, at, len(content), 0, 0, 1, 0)
        body += content
        at += len(content)
    ident = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    number = len(everything)
    head = struct.pack("<HHIQQQIHHHHHH", 1, 62, 1, 0, 0, at, 0, 64, 0, 0, 64, number, number - 1)
    return ident + head + body + heads


PVH_NOTE = struct.pack("<III", 4, 8, 18) + b"Xen\0" + bytes(8)


def a_bzimage(packed: bytes) -> bytes:
    """A kernel with one sector of set-up code before its compressed part."""
    head = bytearray(1024)
    head[0x1F1] = 1
    head[0x202:0x208] = b"HdrS\x0f\x02"
    struct.pack_into("<II", head, 0x248, 16, len(packed))
    return bytes(head) + bytes(16) + packed + b"what follows"


def a_module(**told: str) -> bytes:
    lines = [f"{key}={value}" for key, value in told.items()]
    return an_elf({".modinfo": "\0".join(lines).encode() + b"\0"})


def test_an_archive_unpacks_to_what_was_put_in(tmp_path: Path) -> None:
    if shutil.which("cpio") is None:
        pytest.skip("cpio is not there")
    packed = cpio.archive(
        [cpio.file("etc/x", b"hello", 0o640), cpio.link("lib", "usr/lib"), cpio.folder("tmp", 0o1777)]
    )
    subprocess.run(["cpio", "-id", "--quiet"], input=packed, cwd=tmp_path, check=True)
    assert (tmp_path / "etc/x").read_bytes() == b"hello"
    assert stat.S_IMODE((tmp_path / "etc/x").stat().st_mode) == 0o640
    assert (tmp_path / "lib").readlink() == Path("usr/lib")
    assert stat.S_IMODE((tmp_path / "tmp").stat().st_mode) == 0o1777


def test_an_archive_depends_on_its_content_only() -> None:
    entries = [cpio.file("a/b/c", b"1"), cpio.file("a-b", b"2"), cpio.character_device("dev/console", 5, 1)]
    assert cpio.archive(entries) == cpio.archive(reversed(entries))
    assert len(cpio.archive(entries)) % 4 == 0


def test_a_directory_comes_before_what_it_contains() -> None:
    packed = cpio.archive([cpio.file("a-b", b""), cpio.file("a/b", b"")])
    order = [packed.index(name) for name in (b"a\0", b"a/b\0", b"a-b\0")]
    assert order == sorted(order)


def test_two_entries_of_one_path_are_an_error() -> None:
    with pytest.raises(ValueError, match="two entries for etc/x"):
        cpio.archive([cpio.file("etc/x", b"1"), cpio.file("etc/x", b"2")])


def test_a_program_names_the_libraries_that_it_needs() -> None:
    program = Path(sys.executable).resolve().read_bytes()
    if not elf.is_elf(program):
        pytest.skip("no program of 64 bits")
    assert any(name.startswith("libc.so") or name.startswith("ld-") for name in elf.needed(program))


@pytest.mark.parametrize("data", [b"", b"#!/bin/sh\n", b"\x7fELF\x02\x01", an_elf({})[:80]])
def test_what_is_no_whole_elf_has_no_sections(data: bytes) -> None:
    assert elf.section(data, ".dynamic") == b""
    assert elf.needed(data) == []


def test_a_kernel_is_unpacked_when_qemu_can_start_it_so() -> None:
    plain = an_elf({".notes": PVH_NOTE})
    packed = lzma.compress(plain, check=lzma.CHECK_CRC32) + struct.pack("<I", len(plain))
    assert kernel.for_qemu(a_bzimage(packed), decompress) == plain


def test_a_kernel_that_cannot_be_unpacked_stays_as_it_is() -> None:
    image = a_bzimage(b"\xaa\xbb in a form of tomorrow")
    assert kernel.for_qemu(image, decompress) == image


def test_a_kernel_without_the_entry_stays_as_it_is() -> None:
    image = a_bzimage(lzma.compress(an_elf({".notes": b""})))
    assert kernel.for_qemu(image, decompress) == image


@pytest.mark.parametrize("image", [b"", b"MZ" + bytes(2000), a_bzimage(bytes(5000))[:1100]])
def test_what_is_no_kernel_is_told(image: bytes) -> None:
    with pytest.raises(kernel.BadKernel):
        kernel.for_qemu(image, decompress)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("usr/lib/modules/6/kernel/net/core/failover.ko", "failover"),
        ("a/virtio-rng.ko.xz", "virtio_rng"),
        ("a/virtio-rng.ko.zst", "virtio_rng"),
        ("a/modules.order", None),
        ("a/x.koala", None),
    ],
)
def test_a_modules_name_comes_from_its_file(path: str, name: str | None) -> None:
    assert modules.name_of(path) == name


def test_a_modules_signature_is_left_out() -> None:
    plain = a_module(depends="")
    signature = b"PKCS#7"
    tail = bytes(8) + len(signature).to_bytes(4, "big") + b"~Module signature appended~\n"
    assert modules.unsigned(plain + signature + tail) == plain
    assert modules.unsigned(plain) == plain


def test_modules_are_loaded_after_what_they_need() -> None:
    read = {
        name: modules.module(name, a_module(depends=depends, alias=f"pci:{name}*"))
        for name, depends in {"net": "ring,bus", "bus": "ring", "ring": "", "other": ""}.items()
    }
    chosen = modules.closure(read, ("net", "absent"))
    assert [one.name for one in chosen] == ["ring", "bus", "net"]
    assert modules.dependency_table(chosen) == "ring.ko:\nbus.ko: ring.ko\nnet.ko: bus.ko ring.ko\n"
    assert modules.alias_table(chosen).splitlines()[0] == "alias pci:ring* ring"


def test_modules_that_lack_others_are_noticed() -> None:
    read = {"net": modules.module("net", a_module(depends="bus,built-in"))}
    assert modules.lacking(read, builtin={"built_in"}) == {"bus"}


@pytest.mark.parametrize(
    ("path", "image"),
    [
        ("./lib/x86_64-linux-gnu/libc.so.6", "usr/lib/x86_64-linux-gnu/libc.so.6"),
        ("./usr/lib64/ld.so", "usr/lib64/ld.so"),
        ("./sbin/init", "usr/bin/init"),
        ("./libexec/x", "libexec/x"),
    ],
)
def test_folders_are_merged_below_usr(path: str, image: str) -> None:
    assert tree.merged(path) == image


def test_python_keeps_what_it_can_run_and_no_more() -> None:
    def needing(*names: str) -> bytes:
        strings = b"".join(name.encode() + b"\0" for name in names)
        offsets = [strings.index(name.encode() + b"\0") for name in names]
        entries = b"".join(struct.pack("<QQ", 1, offset) for offset in offsets)
        return an_elf({".dynstr": strings, ".dynamic": entries})

    def regular(data: bytes) -> tree.File:
        return tree.File(stat.S_IFREG | 0o644, data)

    library = "usr/lib/python3.11"
    files = {
        "usr/bin/python3.11": regular(needing("libz.so.1")),
        "usr/lib/libz.so.1": tree.File(stat.S_IFLNK | 0o777, b"libz.so.1.2"),
        "usr/lib/libz.so.1.2": regular(needing("libc.so.6")),
        "usr/lib/libc.so.6": regular(needing()),
        "usr/lib/libunused.so": regular(needing()),
        f"{library}/os.py": regular(b""),
        f"{library}/idlelib/run.py": regular(b""),
        f"{library}/sitecustomize.py": tree.File(stat.S_IFLNK | 0o777, b"/etc/python3.11/sitecustomize.py"),
        f"{library}/lib-dynload/_ssl.so": regular(needing("libssl.so.3")),
        f"{library}/lib-dynload/_json.so": regular(needing("libc.so.6")),
        "usr/share/doc/python3.11/x": regular(b""),
    }
    kept = tree.of_python(files, "python3.11")
    assert set(files) - set(kept) == {
        "usr/lib/libunused.so",
        f"{library}/idlelib/run.py",
        f"{library}/sitecustomize.py",
        f"{library}/lib-dynload/_ssl.so",
        "usr/share/doc/python3.11/x",
    }
