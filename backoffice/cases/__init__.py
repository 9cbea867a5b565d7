"""Work for people: findings that somebody looks at and decides."""
