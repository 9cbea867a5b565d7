"""docs/PROJECTION.md has every table, view and column with the comment that stands in the database.

TONGBAO_REWRITE_DOCS=1 writes that part anew.
"""

import os
from pathlib import Path

import asyncpg

from server.projection.migration import migrate

PAGE = Path(__file__).parents[3] / "docs" / "PROJECTION.md"
BEGIN = (
    "<!-- What follows is made from the comments in the database; "
    "tests/server/projection/test_page.py writes it anew. -->\n"
)
END = "<!-- End of what is made. -->\n"
COLUMNS = """
SELECT relname, relkind::text, obj_description(pg_class.oid) AS comment, attname,
       replace(format_type(atttypid, atttypmod), 'ledger.', '') AS type, attnotnull,
       col_description(pg_class.oid, attnum) AS said
FROM pg_class
JOIN pg_namespace ON pg_namespace.oid = relnamespace
JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped
WHERE nspname = 'ledger' AND relkind IN ('r', 'p', 'v') AND NOT relispartition AND relname <> 'migration'
ORDER BY relkind = 'v', pg_class.oid, attnum
"""
TYPES = """
SELECT typname, string_agg(enumlabel, ', ' ORDER BY enumsortorder) AS labels, obj_description(pg_type.oid) AS comment
FROM pg_type JOIN pg_enum ON enumtypid = pg_type.oid JOIN pg_namespace ON pg_namespace.oid = typnamespace
WHERE nspname = 'ledger' GROUP BY pg_type.oid, typname ORDER BY pg_type.oid
"""


async def reference(dsn: str) -> str:
    connection = await asyncpg.connect(dsn)
    try:
        columns = await connection.fetch(COLUMNS)
        types = await connection.fetch(TYPES)
    finally:
        await connection.close()
    lines: list[str] = []
    name = ""
    for row in columns:
        assert row["comment"], f"{row['relname']} has no comment"
        assert row["said"], f"{row['relname']}.{row['attname']} has no comment"
        if row["relname"] != name:
            name = row["relname"]
            kind = " (view)" if row["relkind"] == "v" else ""
            lines += ["", f"### `{name}`{kind}", "", row["comment"], "", "| column | type | |", "|---|---|---|"]
        null = "" if row["attnotnull"] or row["relkind"] == "v" else ", null"
        lines.append(f"| `{row['attname']}` | {row['type']}{null} | {row['said']} |")
    lines += ["", "### Enumerations", "", "| type | values | |", "|---|---|---|"]
    for row in types:
        assert row["comment"], f"{row['typname']} has no comment"
        lines.append(f"| `{row['typname']}` | {row['labels']} | {row['comment']} |")
    return "\n".join(lines) + "\n\n"


async def test_the_page_has_every_table_and_column(database: str) -> None:
    await migrate(database)
    made = await reference(database)
    page = PAGE.read_text("utf-8")
    begin, end = page.index(BEGIN) + len(BEGIN), page.index(END)
    if os.environ.get("TONGBAO_REWRITE_DOCS"):
        page = page[:begin] + made + page[end:]
        PAGE.write_text(page, "utf-8")
        end = page.index(END)
    assert page[begin:end] == made


async def test_functions_are_described(database: str) -> None:
    await migrate(database)
    connection = await asyncpg.connect(database)
    try:
        silent = await connection.fetch(
            "SELECT proname FROM pg_proc JOIN pg_namespace ON pg_namespace.oid = pronamespace "
            "WHERE nspname = 'ledger' AND obj_description(pg_proc.oid) IS NULL"
        )
    finally:
        await connection.close()
    assert not silent
