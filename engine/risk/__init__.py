"""Pre-trade risk: limits, exposures, and the checks that hold orders to them. See docs/RISK.md."""
