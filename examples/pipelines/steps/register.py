"""Step 4: the bundle where the cluster finds it, under a name that says its bytes, and never overwritten.

--to s3://bucket/prefix (credentials as boto3 finds them; AWS_ENDPOINT_URL for another store than AWS's), or a folder
that is a volume of the cluster, with --served-as pvc://CLAIM/prefix. With MLflow, call modelward.log_model in train.py
instead (docs/training.md): a version is named by models:/NAME/VERSION. Writes uri and digest to --out.
"""

import argparse
import shutil
from pathlib import Path
from urllib.parse import urlsplit

import table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--name", required=True, help="of the model")
    parser.add_argument("--to", required=True, help="s3://bucket/prefix, or a folder")
    parser.add_argument("--served-as", help="of a folder: pvc://CLAIM/prefix")
    parser.add_argument("--out", type=Path, default=Path("build/registered.json"))
    options = parser.parse_args()
    digest = table.digest(options.bundle)
    key = f"{options.name}/{digest.removeprefix('sha256:')[:16]}/{options.name}.tar"
    if options.to.startswith("s3://"):
        uri = f"{options.to.rstrip('/')}/{key}"
        upload(options.bundle, uri, digest)
    else:
        if not (options.served_as or "").startswith("pvc://"):
            parser.error("--served-as: say how the cluster names that folder, for example pvc://models/prefix")
        keep(options.bundle, Path(options.to) / key, digest)
        uri = f"{options.served_as.rstrip('/')}/{key}"
    table.write(options.out, {"uri": uri, "digest": digest})
    print(f"{uri}\n{digest}")


def upload(bundle: Path, uri: str, digest: str) -> None:
    """Once: an object of that name has these bytes already, or is refused."""
    import boto3
    from botocore.exceptions import ClientError

    address = urlsplit(uri)
    store = boto3.client("s3")
    where = {"Bucket": address.netloc, "Key": address.path.lstrip("/")}
    try:
        with bundle.open("rb") as content:
            store.put_object(**where, Body=content, IfNoneMatch="*", Metadata={"sha256": digest})
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("PreconditionFailed", "412"):
            raise SystemExit(f"{uri} can't be written: {error}") from None
        if store.head_object(**where)["Metadata"].get("sha256") != digest:
            raise SystemExit(f"{uri} is there already, with other bytes; who wrote it?") from None


def keep(bundle: Path, place: Path, digest: str) -> None:
    if place.exists():
        if table.digest(place) != digest:
            raise SystemExit(f"{place} is there already, with other bytes; who wrote it?")
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    partial = place.with_name(f".{place.name}.partial")
    shutil.copyfile(bundle, partial)
    partial.replace(place)


if __name__ == "__main__":
    main()
