"""Step 0: the bundle that Git says is in production, by its address and its digest, for the steps that compare.

s3:// with credentials as boto3 finds them, https://, or pvc:// with --volume, the folder that is that claim here.
"""

import argparse
import shutil
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import pin
import table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--file", type=Path, required=True, help="with the ModelDeployment")
    parser.add_argument("--model", required=True, help="its metadata.name")
    parser.add_argument("--volume", type=Path, help="of pvc://CLAIM/…: the claim's folder")
    parser.add_argument("--out", type=Path, default=Path("build/champion.tar"))
    options = parser.parse_args()
    said = pin.deployment(options.file.read_text(), options.model)["spec"]["model"]
    uri, digest = said["uri"], said.get("digest")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    fetch(uri, options.out, options.volume)
    found = table.digest(options.out)
    if digest and found != digest:
        raise SystemExit(f"{uri} has the digest {found}, and {options.file} pins {digest}: who has changed it?")
    print(f"{uri}\n{found}")


def fetch(uri: str, out: Path, volume: Path | None) -> None:
    address = urlsplit(uri)
    match address.scheme:
        case "s3":
            import boto3

            boto3.client("s3").download_file(address.netloc, address.path.lstrip("/"), str(out))
        case "https":
            with urllib.request.urlopen(uri, timeout=60) as answer, out.open("wb") as target:
                shutil.copyfileobj(answer, target)
        case "pvc" if volume is not None:
            shutil.copyfile(volume / address.path.lstrip("/"), out)
        case _:
            raise SystemExit(f"{uri} can't be fetched here: s3://, https://, or pvc:// with --volume")


if __name__ == "__main__":
    main()
