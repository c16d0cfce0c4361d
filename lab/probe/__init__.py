"""Tests with real frames which pairs of hosts reach each other."""
