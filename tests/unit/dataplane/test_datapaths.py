"""Which of Open vSwitch's datapaths a lab gets, and when it may be started."""

from __future__ import annotations

import pytest

from dataplane.ovs import kernel_datapath
from dataplane.ovs.datapaths import KERNEL, USERSPACE, Datapath, NoDatapath, chosen, too_early


def no_lack() -> str:
    return ""


def no_module() -> str:
    return kernel_datapath.NO_MODULE


def must_not_ask() -> str:
    raise AssertionError("the kernel is asked, although nobody wants its datapath")


@pytest.mark.parametrize(
    ("wanted", "lack", "datapath"),
    [
        ("userspace", must_not_ask, USERSPACE),
        ("kernel", no_lack, KERNEL),
        ("auto", no_lack, KERNEL),
        ("auto", no_module, USERSPACE),
    ],
)
def test_auto_takes_the_kernels_where_it_is_there(wanted: str, lack: object, datapath: Datapath) -> None:
    assert chosen(wanted, lack) is datapath  # type: ignore[arg-type]


def test_the_kernels_is_refused_with_the_reason_and_what_mends_it() -> None:
    with pytest.raises(NoDatapath, match="not there: this kernel has no module openvswitch") as refused:
        chosen("kernel", no_module)
    assert "modprobe openvswitch" in refused.value.remedy and "leave --datapath out" in refused.value.remedy


def test_another_word_is_refused_with_those_that_are_allowed() -> None:
    with pytest.raises(NoDatapath, match="'dpdk'") as refused:
        chosen("dpdk", must_not_ask)
    assert refused.value.remedy == "allowed: auto, kernel, userspace"


def test_open_vswitch_is_not_started_for_the_kernel_right_after_boot() -> None:
    """Version 3.1 counts no processors in the first ten seconds, and starts no handler thread."""
    assert too_early(KERNEL, 4.0) == 6.0
    assert too_early(KERNEL, 10.0) == too_early(KERNEL, 1e6) == 0.0
    assert too_early(USERSPACE, 0.5) == 0.0
