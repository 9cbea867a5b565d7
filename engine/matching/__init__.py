"""Order books: compiled, and without knowledge of accounts or money."""
