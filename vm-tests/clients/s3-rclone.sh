#!/bin/sh
# Uses S3 with rclone and nothing but exported variables. Its argument is the name of a bucket, which is gone afterwards.
set -eu

dir=$(mktemp -d)
trap 'rm -r "$dir"' EXIT
mkdir "$dir/from"
for name in 1 2 'a b' ü; do
    echo "$name" >"$dir/from/$name"
done
head -c 11000000 /dev/urandom >"$dir/from/large"

use() {
    rclone --config '' --quiet "$@"
}
bucket=":s3,provider=Other,env_auth=true,endpoint='$S3_ENDPOINT':$1"

use copy "$dir/from" "$bucket/dir"
use check --download "$dir/from" "$bucket/dir"
rm "$dir/from/1"
use sync "$dir/from" "$bucket/dir"
use copy "$bucket/dir" "$dir/to"
diff -r "$dir/from" "$dir/to"
use purge "$bucket"
