"""Settings of the tier of processes."""

from tests.examples import pytest_collection_finish as pytest_collection_finish
