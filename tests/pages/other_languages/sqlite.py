"""A database for samples in languages whose standard library has none: SQLite, spoken to in JSON lines.

``{"sql", "arguments"}`` in, ``{"columns", "rows", "count"}`` or ``{"error"}`` out; placeholders are PostgreSQL's ``$1``.
"""

import json
import sqlite3
import sys

database = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
for line in sys.stdin:
    asked = json.loads(line)
    try:
        named = {str(number): value for number, value in enumerate(asked["arguments"], 1)}
        cursor = database.execute(asked["sql"], named)
        columns = [column[0] for column in cursor.description or []]
        said = {"columns": columns, "rows": cursor.fetchall(), "count": cursor.rowcount}
    except sqlite3.Error as error:
        said = {"error": str(error)}
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()
