"""Settings of the tier of properties."""

from tests.examples import pytest_collection_finish as pytest_collection_finish
