"""Finding customers in many dimensions over personal data that is encrypted."""
