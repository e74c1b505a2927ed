"""DuckDB on a PostgreSQL server, as the yardstick of the benchmarks.

Usage: duckdb_postgres.py URL THREADS scan TABLE        -> seconds and rows of one scan to Arrow batches
       duckdb_postgres.py URL THREADS queries FILE...   -> seconds of each file's query, results fetched
Prints one JSON object; starting the interpreter and attaching is not in the numbers.
"""
import json
import os
import sys
import time

import duckdb
import duckdb_extension_postgres_scanner


def connect(url, threads):
    connection = duckdb.connect(config={"threads": threads})
    package = duckdb_extension_postgres_scanner.__path__[0]
    extension = os.path.join(package, "extensions", "v" + duckdb.__version__, "postgres_scanner.duckdb_extension")
    connection.execute(f"LOAD '{extension}'")
    connection.execute(f"ATTACH '{url}' AS pg (TYPE postgres, READ_ONLY)")
    connection.execute("USE pg.public")
    return connection


def scan(connection, table):
    started = time.perf_counter()
    rows = 0
    for batch in connection.execute(f"SELECT * FROM {table}").to_arrow_reader(100_000):
        rows += batch.num_rows
    return {"seconds": time.perf_counter() - started, "rows": rows}


def queries(connection, files):
    seconds = []
    for file in files:
        with open(file, encoding="utf-8") as opened:
            sql = opened.read()
        started = time.perf_counter()
        try:
            connection.execute(sql).fetchall()
            seconds.append(time.perf_counter() - started)
        except duckdb.Error as error:
            print(f"{file}: {error}", file=sys.stderr)
            seconds.append(None)
    return {"seconds": seconds}


def main():
    url, threads, command, *rest = sys.argv[1:]
    connection = connect(url, int(threads))
    result = scan(connection, *rest) if command == "scan" else queries(connection, rest)
    result["duckdb"] = duckdb.__version__
    print(json.dumps(result))


main()
