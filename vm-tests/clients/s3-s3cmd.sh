#!/bin/sh
# Uses S3 with s3cmd and nothing but exported variables. Its argument is the name of a bucket, which is gone afterwards.
set -eu

dir=$(mktemp -d)
trap 'rm -r "$dir"' EXIT
: >"$dir/settings"
mkdir "$dir/from"
for name in 1 2 'a b'; do
    echo "$name" >"$dir/from/$name"
done
head -c 16000000 /dev/urandom >"$dir/large"

host=${S3_ENDPOINT#http://}
use() {
    s3cmd --config "$dir/settings" --host "$host" --host-bucket "$host" --no-ssl --quiet "$@"
}
bucket="s3://$1"

use mb "$bucket"
use put "$dir/large" "$bucket/large"
use cp "$bucket/large" "$bucket/copy"
use get "$bucket/copy" "$dir/copy"
cmp "$dir/large" "$dir/copy"
use sync "$dir/from/" "$bucket/dir/"
use sync "$bucket/dir/" "$dir/to/"
diff -r "$dir/from" "$dir/to"
use setacl --acl-public "$bucket/dir/1"
curl --silent --show-error --fail "$S3_ENDPOINT/$1/dir/1" | diff - "$dir/from/1"
use del --recursive --force "$bucket"
use rb "$bucket"
