"""The end of a business day: steps that are restartable, each done exactly once."""
