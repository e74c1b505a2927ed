"""DuckDB attached to the same servers, as the yardstick of the benchmarks.

Usage: duckdb_attached.py THREADS NAME=URL... scan TABLE        -> seconds and rows of one scan to Arrow batches
       duckdb_attached.py THREADS NAME=URL... queries FILE...   -> seconds of each file's query, results fetched
Each NAME is a postgres:// or mysql:// database, or folder:PATH whose Parquet files become views; names without a schema
are looked up in the first. Prints one JSON object; starting the interpreter and attaching is not in the numbers.
"""
import glob
import importlib
import json
import os
import sys
import time
from urllib.parse import urlsplit

import duckdb


def load(connection, kind):
    package = importlib.import_module(f"duckdb_extension_{kind}_scanner").__path__[0]
    extension = os.path.join(package, "extensions", "v" + duckdb.__version__, f"{kind}_scanner.duckdb_extension")
    connection.execute(f"LOAD '{extension}'")


def attach(connection, name, url):
    """Makes a source known and gives back where its tables are."""
    if url.startswith("folder:"):
        connection.execute(f"ATTACH ':memory:' AS {name}")
        for file in glob.glob(os.path.join(url.removeprefix("folder:"), "*.parquet")):
            table = os.path.basename(file).removesuffix(".parquet")
            connection.execute(f"CREATE VIEW {name}.main.{table} AS SELECT * FROM read_parquet('{file}')")
        return f"{name}.main"
    if url.startswith("mysql:"):
        load(connection, "mysql")
        parts = urlsplit(url)
        database = parts.path.removeprefix("/")
        text = f"host={parts.hostname} port={parts.port} user={parts.username} password={parts.password} database={database}"
        connection.execute(f"ATTACH '{text}' AS {name} (TYPE mysql, READ_ONLY)")
        return f"{name}.{database}"
    load(connection, "postgres")
    connection.execute(f"ATTACH '{url}' AS {name} (TYPE postgres, READ_ONLY)")
    return f"{name}.public"


def scan(connection, table):
    started = time.perf_counter()
    rows = 0
    for batch in connection.execute(f"SELECT * FROM {table}").to_arrow_reader(100_000):
        rows += batch.num_rows
    return {"seconds": time.perf_counter() - started, "rows": rows}


def queries(connection, files):
    seconds, rows = [], []
    for file in files:
        with open(file, encoding="utf-8") as opened:
            sql = opened.read()
        started = time.perf_counter()
        try:
            answer = connection.execute(sql).fetchall()
            seconds.append(time.perf_counter() - started)
            rows.append(len(answer))
        except duckdb.Error as error:
            print(f"{file}: {error}", file=sys.stderr)
            seconds.append(None)
            rows.append(None)
    return {"seconds": seconds, "rows": rows}


def main():
    threads, *rest = sys.argv[1:]
    connection = duckdb.connect(config={"threads": int(threads)})
    places = []
    while "=" in rest[0]:
        name, url = rest.pop(0).split("=", 1)
        places.append(attach(connection, name, url))
    connection.execute(f"USE {places[0]}")
    command, *rest = rest
    result = scan(connection, *rest) if command == "scan" else queries(connection, rest)
    result["duckdb"] = duckdb.__version__
    print(json.dumps(result))


main()
