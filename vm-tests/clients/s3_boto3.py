"""Uses S3 with PyPI's `boto3` and nothing but exported variables. Its argument is the name of a bucket, which is gone
afterwards."""

import io
import sys

import boto3
import requests
from botocore.exceptions import ClientError

bucket = sys.argv[1]
client = boto3.client("s3")
large = b"large" * (11 << 18)


def read(key, **more):
    return client.get_object(Bucket=bucket, Key=key, **more)["Body"].read()


client.create_bucket(Bucket=bucket)
client.put_object(Bucket=bucket, Key="dir/\u00fc b", Body=b"content", Metadata={"a": "b"}, Tagging="c=d")
head = client.head_object(Bucket=bucket, Key="dir/\u00fc b")
assert (head["Metadata"], head["ContentLength"]) == ({"a": "b"}, 7), head
assert read("dir/\u00fc b") == b"content"
tags = client.get_object_tagging(Bucket=bucket, Key="dir/\u00fc b")["TagSet"]
assert tags == [{"Key": "c", "Value": "d"}], tags

client.upload_fileobj(io.BytesIO(large), bucket, "large")
assert read("large") == large
assert read("large", Range="bytes=8388605-8388614") == b"largelarge"
what = ["ETag", "Checksum", "ObjectParts", "ObjectSize"]
attributes = client.get_object_attributes(Bucket=bucket, Key="large", ObjectAttributes=what)
assert attributes["ObjectSize"] == len(large), attributes

form = client.generate_presigned_post(bucket, "posted")
answer = requests.post(form["url"], data=form["fields"], files={"file": b"posted"}, timeout=60)
assert answer.status_code == 204, answer.text
assert read("posted") == b"posted"
try:
    client.put_object(Bucket=bucket, Key="posted", Body=b"other", IfNoneMatch="*")
    raise AssertionError("the key is taken")
except ClientError as error:
    assert error.response["Error"]["Code"] == "PreconditionFailed", error

client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
client.put_object(Bucket=bucket, Key="posted", Body=b"second")
client.delete_object(Bucket=bucket, Key="posted")
assert read("posted", VersionId="null") == b"posted"
pages = list(client.get_paginator("list_object_versions").paginate(Bucket=bucket))
found = [it for page in pages for kind in ("Versions", "DeleteMarkers") for it in page.get(kind, [])]
assert len(found) == 5, found
objects = [{"Key": it["Key"], "VersionId": it["VersionId"]} for it in found]
answer = client.delete_objects(Bucket=bucket, Delete={"Objects": objects})
assert "Errors" not in answer, answer
client.delete_bucket(Bucket=bucket)
