"""Puts and gets objects by signed URLs over one connection, and prints as JSON how many seconds each kind took. Its argument is
the name of a bucket, which is made if it is not there."""

import http.client
import json
import os
import sys
import time
from urllib.parse import urlsplit

import boto3
from botocore.config import Config

SMALL = (2000, os.urandom(1000))
LARGE = (20, os.urandom(32 << 20))

bucket = sys.argv[1]
settings = Config(signature_version="s3v4", s3={"addressing_style": "path"})
client = boto3.client("s3", config=settings)
if bucket not in [it["Name"] for it in client.list_buckets().get("Buckets", [])]:
    client.create_bucket(Bucket=bucket)
address = urlsplit(os.environ["AWS_ENDPOINT_URL_S3"])
connection = http.client.HTTPConnection(address.hostname, address.port, timeout=60)


def signed(operation, key):
    url = urlsplit(client.generate_presigned_url(operation, Params={"Bucket": bucket, "Key": key}))
    return f"{url.path}?{url.query}"


def timed(method, operation, kind, count, body, expected):
    paths = [signed(operation, f"{kind}-{number}") for number in range(count)]
    start = time.monotonic()
    for path in paths:
        connection.request(method, path, body=body)
        answer = connection.getresponse()
        content = answer.read()
        assert answer.status == 200, content
        assert expected is None or len(content) == len(expected), len(content)
    return time.monotonic() - start


seconds = {}
for kind, (count, content) in {"small": SMALL, "large": LARGE}.items():
    seconds[f"{kind}Puts"] = timed("PUT", "put_object", kind, count, content, None)
    seconds[f"{kind}Gets"] = timed("GET", "get_object", kind, count, None, content)
print(json.dumps(seconds))
