"""ISO 20022: payment files of customers, messages between banks, statements.

`guard` reads XML that nobody has vetted, `schema` checks it against the published schemas and builds messages that
keep them, the other modules turn messages into records and back.
"""
