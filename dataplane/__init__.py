"""sdnlab: the data plane - sandbox, Open vSwitch, links, hosts."""
