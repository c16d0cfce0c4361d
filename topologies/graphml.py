"""GraphML."""
from topologies.model import Topology
def load(raw: bytes, file: str) -> Topology:
    raise NotImplementedError
