"""Tables of cases: data that several tiers of tests run."""
