"""The OpenFlow 1.5 wire form of table values: pure, straight ``struct`` packing.

os-ken's codec needs 126 microseconds for a flow-mod and would dominate the programming of a
large lab; it still serves for whatever is rare, and as the tests' oracle.
"""
