"""The HTTP API: OpenAPI 3.1, problem+json, cursors, versions, keys that make a retry safe."""
