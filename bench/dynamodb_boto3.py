"""Hand-written boto3 scripts, as the yardstick of the benchmarks.

Usage: dynamodb_boto3.py get  ENDPOINT TABLE < KEYS       -> milliseconds of one GetItem for each key, and the items
       dynamodb_boto3.py join ENDPOINT TABLE URL < QUERY  -> seconds of a PostgreSQL query whose last column is the key,
                                                             with its items by BatchGetItem
KEYS is a JSON list of values of the key `id`; QUERY is a JSON text. Prints one JSON object; starting the interpreter,
connecting and one warm-up are not in the numbers.
"""
import json
import sys
import time

import boto3

BATCH = 100


def client(endpoint):
    return boto3.client(
        "dynamodb",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


def plain(item):
    return {name: next(iter(value.values())) for name, value in item.items()}


def get(dynamodb, table, keys):
    dynamodb.get_item(TableName=table, Key={"id": {"S": keys[0]}})
    milliseconds, items = [], []
    for key in keys:
        started = time.perf_counter()
        item = dynamodb.get_item(TableName=table, Key={"id": {"S": key}})["Item"]
        milliseconds.append((time.perf_counter() - started) * 1000)
        items.append(plain(item))
    return {"milliseconds": milliseconds, "items": items}


def joined(dynamodb, table, connection, query):
    rows = connection.execute(query).fetchall()
    keys = list({row[-1] for row in rows})
    items = {}
    units = 0.0
    for start in range(0, len(keys), BATCH):
        request = {table: {"Keys": [{"id": {"S": key}} for key in keys[start:start + BATCH]]}}
        while request:
            answer = dynamodb.batch_get_item(RequestItems=request, ReturnConsumedCapacity="TOTAL")
            for item in answer["Responses"][table]:
                items[item["id"]["S"]] = plain(item)
            units += sum(consumed["CapacityUnits"] for consumed in answer["ConsumedCapacity"])
            request = answer["UnprocessedKeys"]
    return [[*row, items[row[-1]]] for row in rows if row[-1] in items], units


def join(dynamodb, table, url, query):
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        joined(dynamodb, table, connection, query)
        started = time.perf_counter()
        rows, units = joined(dynamodb, table, connection, query)
        seconds = time.perf_counter() - started
    return {"seconds": seconds, "rows": rows, "units": units}


def main():
    command, endpoint, table, *rest = sys.argv[1:]
    given = json.load(sys.stdin)
    dynamodb = client(endpoint)
    result = get(dynamodb, table, given) if command == "get" else join(dynamodb, table, *rest, given)
    result["boto3"] = boto3.__version__
    print(json.dumps(result))


main()
