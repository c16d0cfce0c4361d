"""``sdnlab scapy``: scapy's shell, or a script, that sends and sees packets at hosts of a running lab.

It runs in the user's own process, with the user's rights and files. Only its sockets are in the lab.
"""

from __future__ import annotations

import ast
import logging
import signal
import sys
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lab.cli import files
from lab.cli.common import Lab, choose, complete_host, usage
from lab.cli.say import out
from lab.failure import Exit, Failure, unknown

if TYPE_CHECKING:
    from lab.scripting.scapy_host import ScapyHost

BANNER = """\
Lab {lab}: hosts[{first!r}] sends and sees packets at the port of a host; 'lab' is the lab itself.
    hosts[{first!r}].sr1(IP(dst=hosts[{second!r}].ip)/ICMP(), timeout=1)
    hosts[{first!r}].sniff(count=4, timeout=10).summary()
    hosts[{first!r}].send_and_expect(IP(dst=hosts[{second!r}].ip)/UDP(dport=(1, 100)), at={second!r})
"""
MOST_OPENED = 32
"""Hosts whose sockets are opened at the start, all at once; those of others when they are used."""
MOST_BYTES = 4 << 20


class Hosts(Mapping[str, "ScapyHost"]):
    """The hosts of a lab by name, as scapy uses them. A name that is not there is told with similar ones."""

    def __init__(self, hosts: Mapping[str, ScapyHost]) -> None:
        self._hosts = hosts

    def __getitem__(self, name: str) -> ScapyHost:
        if name not in self._hosts:
            raise unknown("host", name, [*self._hosts], "hosts", " here")
        return self._hosts[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._hosts)

    def __len__(self) -> int:
        return len(self._hosts)

    def __repr__(self) -> str:
        return "\n".join(map(repr, self._hosts.values()))


def scapy(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[HOST]...", help="The hosts. Default: all of the lab.", autocompletion=complete_host
        ),
    ] = None,
    code: Annotated[
        str | None,
        typer.Option("--code", "-c", metavar="CODE", help="Run this Python code, and print its last value."),
    ] = None,
    script: Annotated[
        str | None,
        typer.Option("--script", "-s", metavar="FILE", help="Run a Python file; '-': standard input."),
    ] = None,
    lab: Lab = None,
) -> None:
    """Open scapy's shell with the hosts of a running lab: send, answer and sniff packets as any of them.

    hosts['h1'] has scapy's send, sendp, sr, sr1, srp, srp1, sniff, and send_and_expect. What a packet leaves
    out is the host's: its addresses as the source, and the next hop's MAC address. Virtual machines and
    containers are used at their switch ports. Your code runs on this machine as you, not in the lab.

    Example: sdnlab scapy -c "hosts['h1'].sr1(IP(dst=hosts['h2'].ip)/ICMP(), timeout=1)"
    """
    if code is not None and script is not None:
        raise usage("--code and --script are two programs", "give one of them")
    if script is not None:
        called, raw = "standard input" if script == "-" else script, _content(script)
    elif code is not None:
        called, raw = "--code", code.encode()
    elif not sys.stdin.isatty():
        called, raw = "standard input", _content("-")
    else:
        called, raw = "", b""
    raise typer.Exit(_run(choose(lab), names or [], called, raw))


def _content(script: str) -> bytes:
    path = Path("/dev/stdin" if script == "-" else script)
    return files.outside_file(path, "a file with Python code", MOST_BYTES)


def _run(name: str, wanted: list[str], called: str, raw: bytes) -> int:
    from lab.scripting.lab import Lab as RunningLab

    # Scapy reports what the machine lacks, which is not what the lab lacks.
    logging.getLogger("scapy").setLevel(logging.ERROR)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # scapy ends a sniff() at KeyboardInterrupt
    with RunningLab.attach(name) as lab:
        everybody = {name: host.scapy for name, host in lab.hosts().items()}
        for host in wanted:
            if host not in everybody:
                raise unknown("host", host, [*everybody], "hosts", " in this lab")
        hosts = Hosts({name: everybody[name] for name in wanted or everybody})
        if 0 < len(hosts) <= MOST_OPENED:
            lab.open_ports(hosts)
        namespace: dict[str, Any] = {"hosts": hosts, "lab": lab}
        if called:
            return run_code(called, raw, namespace)
        return _shell(name, hosts, namespace)


def _shell(name: str, hosts: Hosts, namespace: dict[str, Any]) -> int:
    from scapy.main import interact

    first, second = ([*hosts] * 2)[:2] if hosts else ("h1", "h2")
    # Scapy shows a banner of ours in IPython alone.
    out(BANNER.format(lab=name, first=first, second=second))
    interact(mydict=namespace, argv=["scapy"], loglevel=logging.ERROR)
    return Exit.OK


def run_code(called: str, raw: bytes, namespace: dict[str, Any]) -> int:
    """Run Python code with all names of scapy and those of ``namespace``; the exit code.

    The value of a last expression is printed, unless it is None. An error of the code itself is shown with
    its traceback; a Failure is raised.
    """
    import scapy.all

    scapy.all.conf.verb = 0
    session = {**vars(scapy.all), **namespace, "__name__": "__main__"}
    try:
        body = ast.parse(raw, called).body
        last = body.pop() if body and isinstance(body[-1], ast.Expr) else None
        exec(compile(ast.Module(body, []), called, "exec"), session)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), called, "eval"), session)
            if value is not None:
                print(repr(value))
    except (Failure, BrokenPipeError):
        raise
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else Exit.OK if stop.code is None else Exit.FAILED
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except SyntaxError as error:
        sys.stderr.write("".join(traceback.format_exception_only(error)))
        return Exit.FAILED
    except Exception as error:
        lines = traceback.format_exception(type(error), error, _of_user(error.__traceback__, called))
        sys.stderr.write("".join(lines))
        return Exit.FAILED
    return Exit.OK


def _of_user(trace: TracebackType | None, called: str) -> TracebackType | None:
    """A traceback from the user's own code on."""
    while trace is not None and trace.tb_frame.f_code.co_filename != called:
        trace = trace.tb_next
    return trace


COMMANDS = {"scapy": scapy}
