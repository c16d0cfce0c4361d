"""Typed requests and answers of a lab's HTTP API."""
