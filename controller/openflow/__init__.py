"""The OpenFlow 1.5 wire form of table values: pure, straight ``struct`` packing.

os-ken's codec needs 126 microseconds for a flow-mod, most of the time of programming a large lab.  It still
serves for rare messages, and tests compare ours with it.
"""
