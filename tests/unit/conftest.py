"""Settings of the unit tier."""

from tests.examples import pytest_collection_finish as pytest_collection_finish
