"""Load: one seeded workload, and a generator that sends it at C speed and checks every reply."""
