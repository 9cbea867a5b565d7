NUMBERS: dict[str, dict[str, int]]
