"""Personal data at rest: envelope encryption, blind indexes, masks."""
