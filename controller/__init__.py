"""sdnlab: the control plane - intent to flow tables, and the OpenFlow app that keeps them."""
