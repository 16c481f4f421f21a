"""Uses S3 with PyPI's `minio` and nothing but exported variables. Its argument is the name of a bucket, which is gone
afterwards."""

import io
import os
import sys

from minio import Minio
from minio.commonconfig import ENABLED, ComposeSource, CopySource, Tags
from minio.deleteobjects import DeleteObject
from minio.versioningconfig import VersioningConfig

bucket = sys.argv[1]
large = b"large" * (11 << 18)
client = Minio(
    os.environ["S3_ENDPOINT"].removeprefix("http://"),
    access_key=os.environ["AWS_ACCESS_KEY_ID"],
    secret_key=os.environ["AWS_SECRET_ACCESS_KEY"],
    region=os.environ["AWS_REGION"],
    secure=False,
)

client.make_bucket(bucket)
client.put_object(bucket, "key", io.BytesIO(b"content"), 7)
# Of a length that is not known before.
client.put_object(bucket, "large", io.BytesIO(large), -1, part_size=5 << 20)
assert client.get_object(bucket, "key").data == b"content"
assert client.get_object(bucket, "large").data == large

client.set_bucket_versioning(bucket, VersioningConfig(ENABLED))
assert client.put_object(bucket, "key", io.BytesIO(b"second"), 6).version_id
tags = Tags.new_object_tags()
tags["a"] = "b"
client.set_object_tags(bucket, "key", tags)
assert client.get_object_tags(bucket, "key") == tags
client.copy_object(bucket, "copy", CopySource(bucket, "key"))
sources = [ComposeSource(bucket, "large"), ComposeSource(bucket, "key")]
client.compose_object(bucket, "composed", sources)
assert client.get_object(bucket, "composed").data == large + b"second"

found = list(client.list_objects(bucket, recursive=True, include_version=True))
names = [it.object_name for it in found]
assert names == ["composed", "copy", "key", "key", "large"], names
failures = client.remove_objects(bucket, [DeleteObject(it.object_name, it.version_id) for it in found])
assert list(failures) == []
client.remove_bucket(bucket)
