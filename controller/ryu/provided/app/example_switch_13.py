"""``ryu.app.example_switch_13``: the learning switch of Ryu's book."""

from __future__ import annotations

from os_ken.app import simple_switch_13


class ExampleSwitch13(simple_switch_13.SimpleSwitch13):
    """As ``SimpleSwitch13``."""
