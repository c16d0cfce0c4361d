"""Runs users' Mininet scripts in a sandbox: its parts, and what is mended in the package mininet."""
