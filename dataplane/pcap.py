"""Captures packets of a device as pcap, with libpcap, as tcpdump does before it decodes.

tcpdump drops root's rights before it reads.  The kernel refuses this in an ordinary user's namespace
(setgroups, user_namespaces(7)), so tcpdump captures nothing there.  This module reads with libpcap, which is
installed with tcpdump, and needs only rights over the network namespace.  tcpdump decodes its output
elsewhere.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal

from linux.readiness import readable

SNAPSHOT = 262144
"""Limit in bytes of a packet: tcpdump's own (MAXIMUM_SNAPLEN of libpcap)."""
_ETHERNET = 1  # DLT_EN10MB
_LINUX_SLL2 = 276  # DLT_LINUX_SLL2
_ERRBUF = 256  # PCAP_ERRBUF_SIZE
_OPTIMISE, _NO_NETMASK = 1, 0xFFFFFFFF


class CannotCapture(Exception):
    """The capture failed; the message is libpcap's."""


class CannotWrite(Exception):
    """The packets can't be written, in the system's words."""


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_uint), ("instructions", ctypes.c_void_p)]


class _Statistics(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint) for name in ("received", "dropped", "dropped_by_interface")]


def library() -> ctypes.CDLL:
    """libpcap; raises CannotCapture if it is not installed."""
    for name in ("libpcap.so.0.8", "libpcap.so.1", "libpcap.so"):
        with contextlib.suppress(OSError):
            libpcap = ctypes.CDLL(name, use_errno=True)
            for function in ("pcap_create", "pcap_geterr", "pcap_dump_fopen", "pcap_datalink_val_to_name"):
                getattr(libpcap, function).restype = ctypes.c_void_p
            libpcap.pcap_datalink_val_to_description.restype = ctypes.c_char_p
            return libpcap
    raise CannotCapture("libpcap is not there; it comes with tcpdump: sudo apt-get install tcpdump")


def compiled(pcap: ctypes.CDLL, expression: str) -> bytes:
    """The instructions of a filter (pcap-filter(7)) for Ethernet frames, as classic BPF has them (8 octets
    each). Raises CannotCapture."""
    pcap.pcap_open_dead.restype = ctypes.c_void_p
    handle = ctypes.c_void_p(pcap.pcap_open_dead(_ETHERNET, SNAPSHOT))
    program = _Program()
    try:
        if pcap.pcap_compile(
            handle, ctypes.byref(program), expression.encode(), _OPTIMISE, ctypes.c_uint(_NO_NETMASK)
        ):
            raise CannotCapture(ctypes.string_at(pcap.pcap_geterr(handle)).decode(errors="replace"))
        instructions = ctypes.string_at(program.instructions, program.length * 8)
        pcap.pcap_freecode(ctypes.byref(program))
        return instructions
    finally:
        pcap.pcap_close(handle)


class Capture:
    """A capture on a device of the calling thread's network namespace (``any``: all devices). It starts
    immediately.

    ``expression``: pcap-filter(7); empty matches all.  ``buffer``: bytes of the kernel's buffer.
    Raises CannotCapture.
    """

    def __init__(self, pcap: ctypes.CDLL, device: str, expression: str, buffer: int) -> None:
        self._pcap = pcap
        said = ctypes.create_string_buffer(_ERRBUF)
        handle = pcap.pcap_create(device.encode(), said)
        if not handle:
            raise CannotCapture(said.value.decode(errors="replace"))
        self._handle = ctypes.c_void_p(handle)
        wanted = {"snaplen": SNAPSHOT, "promisc": 1, "immediate_mode": 1, "buffer_size": buffer}
        for setting, value in wanted.items():
            getattr(pcap, f"pcap_set_{setting}")(self._handle, value)
        if pcap.pcap_activate(self._handle) < 0:
            raise CannotCapture(self._error())
        if device == "any":
            pcap.pcap_set_datalink(self._handle, _LINUX_SLL2)  # names the device that a packet passed
        program = _Program()
        filtering = (self._handle, ctypes.byref(program))
        compiling = (*filtering, expression.encode(), _OPTIMISE, ctypes.c_uint(_NO_NETMASK))
        if pcap.pcap_compile(*compiling) < 0 or pcap.pcap_setfilter(*filtering) < 0:
            raise CannotCapture(self._error())
        pcap.pcap_setnonblock(self._handle, 1, said)
        kind = pcap.pcap_datalink_val_to_description(pcap.pcap_datalink(self._handle))
        self.link_type = kind.decode() if kind else ""

    def write(self, descriptor: int, count: int | None) -> int:
        """Write packets to ``descriptor`` as they come; how many were written.

        Ends after ``count`` packets, at a signal (SIGINT, SIGTERM), or when the reader closes the pipe.
        Raises CannotCapture and CannotWrite.
        """
        out = Dump(self._pcap, self._handle, descriptor)
        out.flush()  # the header says that it has begun
        done = 0
        with StopAtSignals(), contextlib.suppress(Stopped):
            source = self._pcap.pcap_get_selectable_fd(self._handle)
            while count is None or done < count:
                readable([source])
                most = -1 if count is None else count - done
                taken = self._pcap.pcap_dispatch(self._handle, most, self._pcap.pcap_dump, out.handle)
                if taken < 0:
                    raise CannotCapture(self._error())
                done += taken
                if taken and not out.flush():
                    break  # the reader has closed the pipe
        if count is None:  # those that came before the signal
            done += max(0, self._pcap.pcap_dispatch(self._handle, -1, self._pcap.pcap_dump, out.handle))
        out.flush()
        return done

    def dropped(self) -> int:
        """The number of packets that were lost because they came too fast."""
        statistics = _Statistics()
        self._pcap.pcap_stats(self._handle, ctypes.byref(statistics))
        return int(statistics.dropped)

    def _error(self) -> str:
        return ctypes.string_at(self._pcap.pcap_geterr(self._handle)).decode(errors="replace")


class Dump:
    """What libpcap writes packets to: ``handle``, on an open file descriptor. Raises CannotCapture."""

    def __init__(self, pcap: ctypes.CDLL, source: ctypes.c_void_p, descriptor: int) -> None:
        self._pcap, self._descriptor = pcap, descriptor
        self._libc = ctypes.CDLL(None)
        self._libc.fdopen.restype = ctypes.c_void_p
        self._file = ctypes.c_void_p(self._libc.fdopen(descriptor, b"w"))
        dumper = pcap.pcap_dump_fopen(source, self._file)
        if not dumper:
            raise CannotCapture(ctypes.string_at(pcap.pcap_geterr(source)).decode(errors="replace"))
        self.handle = ctypes.c_void_p(dumper)

    def flush(self) -> bool:
        """Write what is still in memory; False: the reader has closed the pipe. Raises CannotWrite.

        After an error, libpcap writes nothing more, and its flush succeeds. So this asks the file, too.
        """
        ctypes.set_errno(0)
        failed = self._pcap.pcap_dump_flush(self.handle) < 0
        error = ctypes.get_errno()
        if not failed and not self._libc.ferror(self._file):
            return True
        pipe = select.poll()
        pipe.register(self._descriptor, 0)
        if pipe.poll(0):
            return False
        raise CannotWrite(os.strerror(error) if error else "the disk may be full")


class Stopped(Exception):
    """A signal ends the capture."""


class StopAtSignals:
    """A context in which the first SIGINT or SIGTERM raises Stopped."""

    def __enter__(self) -> None:
        self._stopped = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._stop)

    def __exit__(self, *_: object) -> None:
        self._stopped = True
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)

    def _stop(self, _number: int, _frame: object) -> None:
        # one that follows, as timeout(1) sends two, must not raise again where nobody catches it
        if not self._stopped:
            self._stopped = True
            raise Stopped
