"""Writing packets: what can't be written is told, and signals end it once."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Iterator
from contextlib import suppress

import pytest

from dataplane import pcap

ETHERNET = 1


@pytest.fixture
def libpcap() -> ctypes.CDLL:
    try:
        library = pcap.library()
    except pcap.CannotCapture:
        pytest.skip("libpcap is not installed")
    library.pcap_open_dead.restype = ctypes.c_void_p
    return library


@pytest.fixture
def kept_signals() -> Iterator[None]:
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


def dump(libpcap: ctypes.CDLL, descriptor: int) -> pcap.Dump:
    return pcap.Dump(libpcap, ctypes.c_void_p(libpcap.pcap_open_dead(ETHERNET, 65535)), descriptor)


def test_a_full_disk_is_told(libpcap: ctypes.CDLL) -> None:
    out = dump(libpcap, os.open("/dev/full", os.O_WRONLY))
    with pytest.raises(pcap.CannotWrite, match="No space left on device"):
        out.flush()
    with pytest.raises(pcap.CannotWrite):  # libpcap writes nothing any more, and finds no fault
        out.flush()


def test_a_pipe_that_nobody_reads_is_the_end(libpcap: ctypes.CDLL) -> None:
    source, target = os.pipe()
    out = dump(libpcap, target)
    assert out.flush()
    os.close(source)
    out = dump(libpcap, os.dup(target))
    assert not out.flush()


@pytest.mark.usefixtures("kept_signals")
def test_a_second_signal_raises_nothing() -> None:
    with pcap.StopAtSignals():
        with suppress(pcap.Stopped):
            os.kill(os.getpid(), signal.SIGTERM)
            raise AssertionError("the first one ends it")
        os.kill(os.getpid(), signal.SIGTERM)
