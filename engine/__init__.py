"""The deterministic state machine."""
