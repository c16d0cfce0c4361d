"""``sdnlab capture``: reads packets inside a running lab, and shows them with tcpdump or writes a file."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer

from lab.cli import say
from lab.cli.common import Lab, choose, complete_capture
from lab.failure import Exit, Failure
from wire import ethertype
from wire.mac import CONTROLLER, mac_text

SEARCH = f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin"

BUFFER = 64 << 20
"""Bytes of the kernel's buffer for a capture.

We read each packet immediately; otherwise the kernel keeps packets for up to a second, and the packets of the
last second are lost at Ctrl-C. In this mode each packet takes a slot of full size in the buffer, however
small it is. So the buffer must be large: at full speed, the usual 2 MB lose a third of the packets, and this
size loses none.
"""


PROBE, PROBER = f"ether proto {ethertype.PROBE:#06x}", f"ether src {mac_text(CONTROLLER)}"
"""Filters for the controller's probe frames, which measure the health of functions (20 a second each way)."""


def without_probes(expression: str, cooked: bool) -> str:
    """A filter that matches the same frames, except probe frames.

    ``cooked``: the capture is on all devices at once, and has no MAC addresses to match (pcap-linktype(7),
    LINKTYPE_LINUX_SLL2). Otherwise frames of that EtherType that a host sends still match.
    """
    probe = PROBE if cooked else f"({PROBE} and {PROBER})"
    return f"not {probe} and ({expression})" if expression else f"not {probe}"


def arguments(tcpdump: str, verbose: bool) -> list[str]:
    """The arguments with which tcpdump reads pcap from standard input and writes lines."""
    words = [tcpdump, "-r", "-", "-n", "-l", "-e"]
    words += ["-Z", "root"] if os.geteuid() == 0 else []  # otherwise tcpdump changes to a user of its own
    return [*words, "-v"] if verbose else words


def check_filter(tcpdump: str, expression: str) -> None:
    """Raise Failure with tcpdump's message if it can't compile the expression."""
    done = subprocess.run(
        [tcpdump, "-d", "-y", "EN10MB", "--", expression], capture_output=True, text=True, timeout=20
    )
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        words = lines[-1].removeprefix("tcpdump: ") if lines else "not understood"
        remedy = "see pcap-filter(7), for example: --filter 'udp port 4789', 'icmp or arp', 'host 10.0.0.1'"
        raise Failure(f"the filter {expression!r} can't be used: {words}", remedy, Exit.USAGE)


def capture(
    name: Annotated[
        str,
        typer.Argument(
            metavar="LINK|HOST|SWITCH|FUNCTION[:in|:out]",
            help="Where to capture. Also a host's link (h1-s1), a trunk (r1-eth0), an underlay link (d1-r1), "
            "a domain or an underlay router. If a function has several instances, name one (fw.1, fw.1:in).",
            autocompletion=complete_capture,
        ),
    ],
    write: Annotated[
        Path | None,
        typer.Option("--write", "-w", metavar="FILE", help="Write a pcap file; '-': to standard output."),
    ] = None,
    expression: Annotated[
        str,
        typer.Option("--filter", "-f", metavar="BPF", help="Only packets that match, like 'udp port 4789'."),
    ] = "",
    count: Annotated[
        int | None, typer.Option("--count", "-c", min=1, help="End after this number of packets.")
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show more of each packet.")] = False,
    probes: Annotated[
        bool, typer.Option("--probes", help="Show the controller's probe frames, too.")
    ] = False,
    lab: Lab = None,
) -> None:
    """Show packets of a running lab, or write them to a file. Ctrl-C ends the capture.

    A packet in a tunnel is shown with its outer and its inner header. At a switch, each frame is shown once.
    Frames can be longer than the MTU, because a host leaves segmentation to the other end of its link.

    A link between switches of one domain has no device. It gets one during the capture, and may lose some
    packets at that moment.

    Example: sdnlab capture d1-r1 --filter 'udp port 4789'
    """
    from lab.access.client import Client, supervisor_pid
    from lab.cli import enter

    tcpdump = shutil.which("tcpdump", path=SEARCH)
    if tcpdump is None:
        raise Failure("tcpdump is not installed", "sudo apt-get install tcpdump", Exit.MACHINE)
    if expression:
        check_filter(tcpdump, expression)
    chosen = choose(lab)
    pid = supervisor_pid(chosen)
    stream = Client(chosen).stream(f"/capture/{quote(name, safe='')}")
    try:
        where = next(stream, None)
        if where is None:
            raise Failure(f"lab {chosen} ended before it answered", "", Exit.LOST)
        wanted = expression if probes else without_probes(expression, where["device"] == "any")
        decoder = None
        if write is None:
            output = os.dup(1)
            decoder = _decoded(arguments(tcpdump, verbose))
        elif str(write) != "-":
            _onto_output(write)
        code = enter.run_at(
            chosen, pid, where["netns"], lambda: _read(where["device"], wanted, count, where["what"])
        )
        if decoder is not None:
            _end_output()
            finish_decoding(decoder, output)
    finally:
        stream.close()
    raise typer.Exit(code)


def _read(device: str, expression: str, count: int | None, what: str) -> int:
    """Inside the lab: write the packets of the device to the standard output, as pcap."""
    from dataplane import pcap

    try:
        seen = pcap.Capture(pcap.library(), device, expression, BUFFER)
        sys.stderr.write(f"{what}; Ctrl-C ends it\nlistening on {device}, link-type {seen.link_type}\n")
        sys.stderr.flush()
        number = seen.write(1, count)
    except pcap.CannotCapture as error:
        raise Failure(f"can't capture: {error}", "does it still exist? see: sdnlab status") from None
    except pcap.CannotWrite as error:
        raise Failure(f"can't write the packets: {error}", "write another file: --write FILE") from None
    words = f"{say.count(number, 'packet')} captured"
    dropped = seen.dropped()
    sys.stderr.write(f"{words}, {dropped} more dropped: they came too fast\n" if dropped else f"{words}\n")
    return 0


def _decoded(words: list[str]) -> subprocess.Popen[bytes]:
    """Start tcpdump; from now on, it decodes what we write to the standard output.

    It is in a process group of its own: Ctrl-C then ends only the capture, and tcpdump shows the rest.
    """
    source, target = os.pipe()
    sys.stdout.flush()
    decoder = subprocess.Popen(words, stdin=source, stderr=subprocess.DEVNULL, preexec_fn=os.setpgrp)
    os.close(source)
    os.dup2(target, 1)
    os.close(target)
    return decoder


def finish_decoding(decoder: subprocess.Popen[bytes], output: int) -> None:
    """Wait until tcpdump has shown the rest. Raises Failure if it couldn't write.

    ``output``: where it writes. If that is a pipe that nobody reads any more, it is no failure.
    """
    failed = decoder.wait() > 0
    pipe = select.poll()
    pipe.register(output, 0)
    if failed and not pipe.poll(0):
        raise Failure("tcpdump can't write the output", "send it elsewhere, or write a file: --write FILE")


def _end_output() -> None:
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.close(nothing)


def _onto_output(file: Path) -> None:
    """Open the file as the standard output, with the caller's rights, before we enter the lab."""
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise Failure(f"can't write {file}: {error.strerror}", "name another file") from None
    sys.stdout.flush()
    os.dup2(handle, 1)
    os.close(handle)


COMMANDS = {"capture": capture}
