"""Which model a ModelDeployment may ask for: addresses, formats, digests, signatures and caches."""

import pytest

from nodeless.cluster import Cluster
from nodeless.specs import DIGEST, Object, check_refused, check_taken, model

PEM = """-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEkkQ/1tnBKKuT7gWIqG0t2mUcYkvC
1KqYkp0BzH1cCkqKqv+Sq5Y5cPUcTj3zOBfdzVK3mNfP5q2nG1XkL7d7yQ==
-----END PUBLIC KEY-----
"""


BAD: dict[str, tuple[Object, str]] = {
    "no model": ({}, "spec.model: Required value"),
    "no uri": ({"model": {}}, "spec.model.uri: Required value"),
    "empty uri": (model(""), "spec.model.uri"),
    "unknown scheme": (model("ftp://host/m.onnx"), "start it with https://, s3://, pvc:// or oci://"),
    "a bucket of Google": (model("gs://models/m.onnx"), "AWS_ENDPOINT_URL=https://storage.googleapis.com with an HMAC"),
    "blobs of Azure": (model("abfss://c@a.dfs.core.windows.net/m.onnx"), "its Blob CSI driver"),
    "blobs of Azure by an older name": (model("wasbs://c@a.blob.core.windows.net/m.onnx"), "pvc://models/fraud/model.onnx"),
    "a bare path": (model("/models/m.onnx"), "for example s3://models/fraud/3/model.onnx"),
    "plain http": (model("http://host/m.onnx"), "pin the artifact with spec.model.digest"),
    "white space": (model("s3://models/my model.onnx"), "write %20 for a blank"),
    "a line break": (model("s3://models/m\n.onnx"), "white space"),
    "credentials in the address": (model("https://user:secret@host/m.onnx"), "spec.model.credentialsSecret"),
    "a presigned URL": (model("https://host/m.onnx?X-Amz-Signature=abc"), "a presigned URL expires"),
    "a signed URL of Azure": (model("https://host/m.onnx?sv=1&sig=abc"), "a presigned URL expires"),
    "no file in https": (model("https://host/"), "name a host and a file"),
    "no host in https": (model("https:///m.onnx"), "name a host and a file"),
    "no key in s3": (model("s3://models"), "name a bucket"),
    "an upper-case bucket": (model("s3://Models/m.onnx"), "name a bucket (3 to 63 lower-case letters"),
    "a short bucket": (model("s3://ab/m.onnx"), "name a bucket (3 to 63 lower-case letters"),
    "no path in pvc": (model("pvc://claim"), "name a PersistentVolumeClaim"),
    "a bad claim": (model("pvc://My_Claim/m.onnx"), "name a PersistentVolumeClaim"),
    "an image without a repository": (model("oci://registry.example.com"), "name a registry, a repository"),
    "an image with a login": (model("oci://me:secret@registry.example.com/a:1"), "name a registry, a repository"),
    "dots": (model("pvc://claim/../m.onnx"), "'..' is not allowed"),
    "a folder": (model("s3://models/fraud/", format="onnx"), "leave that out, for a folder, too"),
    "a too long uri": (model("s3://models/" + "a" * 1100 + ".onnx"), "Too long"),
    "an unknown format": (model(format="tensorflow"), "write auto, onnx, sklearn, skops, xgboost"),
    "onnx called sklearn": (model(format="sklearn"), "promises another format; set format to auto"),
    "pickle called onnx": (model("s3://models/m.pkl", format="onnx"), "promises another format"),
    "skops called sklearn": (model("s3://models/m.skops", format="sklearn"), "promises another format"),
    "torchscript called bundle": (model("s3://models/m.pt?v=1", format="bundle"), "promises another format"),
    "a digest without its kind": (model(digest="0123456789abcdef" * 4), "write sha256: followed by"),
    "a short digest": (model(digest="sha256:0123"), "write sha256: followed by"),
    "an upper-case digest": (model(digest=DIGEST.upper()), "write sha256: followed by"),
    "credentials for https": (
        model("https://host/m.onnx", credentialsSecret={"name": "s"}), "only s3:// and oci:// read credentials",
    ),
    "credentials without a name": (model(credentialsSecret={}), "credentialsSecret.name: Required value"),
    "credentials with a bad name": (model(credentialsSecret={"name": "My_Secret"}), "write the name of a Secret"),
    "another optimise": (model(optimise="On"), "write Auto or Off"),
    "a stage of a registry": (model("models:/fraud/Production"), "name an alias, a version by its number"),
    "the latest of a registry": (model("models:/fraud/latest"), "stages, and latest, are not followed"),
    "a model without a version": (model("models:/fraud"), "name an alias, a version by its number"),
    "a model with two slashes": (model("models://fraud@champion"), "name an alias, a version by its number"),
    "a run without a path": (model(f"runs:/{'0' * 32}"), "name a run and what it logged"),
    "a group that is none": (model("sagemaker://fraud_2"), "name a model package group"),
    "a version that is none": (model("sagemaker://fraud/latest"), "name a model package group"),
    "another ARN": (model("arn:aws:s3:::models/fraud"), "name a model package of SageMaker"),
    "a cache without a claim": (model(cache={}), "cache.claim: Required value"),
    "a cache that is no claim's name": (model(cache={"claim": "My_Claim"}), "name of a PersistentVolumeClaim"),
    "a small cache": (model(cache={"claim": "c", "size": "1Mi"}), "write a size of 64Mi or more"),
    "a cache of no size": (model(cache={"claim": "c", "size": "much"}), "write a size of 64Mi or more"),
    "a key that is none": (model(signature={"publicKey": "ssh-ed25519 AAAA"}), "publicKey: write the key in PEM"),
    "a private key": (model(signature={"publicKey": PEM.replace("PUBLIC", "PRIVATE")}), "write the key in PEM"),
    "a signature of nobody": (model(signature={}), "signature.publicKey: Required value"),
}  # fmt: skip

GOOD: dict[str, Object] = {
    "https": model("https://models.example.com/fraud/model.onnx"),
    "https with a port and a query": model("https://host:8443/m.onnx?version=3"),
    "http with a digest": model("http://store/m.onnx", digest=DIGEST),
    "an image by tag": model("oci://registry.example.com:5000/team/fraud:3"),
    "an image by digest": model("oci://registry.example.com/fraud@sha256:" + 64 * "0"),
    "a claim": model("pvc://claim/folder/m.joblib"),
    "a pickle": model("s3://models/m.pickle", format="sklearn"),
    "an explicit format without an ending": model("s3://models/fraud/latest", format="onnx"),
    "nothing that tells the format": model("s3://models/fraud"),
    "a saved bundle": model("s3://models/fraud.tar"),
    "each format by its name": model("s3://models/fraud.txt", format="lightgbm"),
    "credentials": model(credentialsSecret={"name": "s3-credentials"}),
    "an address beside a registry, as the model of a run is": model(registry="mlflow"),
    "an alias": model("models:/fraud@champion", registry="mlflow"),
    "an alias in a catalog": model("models:/prod.risk.fraud@champion"),
    "a version": model("models:/fraud/3", credentialsSecret={"name": "s3-credentials"}),
    "a logged model": model("models:/m-8c84c5391f1e44749fd4b11b3ac7128b", digest=DIGEST),
    "a run": model(f"runs:/{'0' * 32}/model"),
    "a group": model("sagemaker://fraud"),
    "a package": model("sagemaker://fraud/3"),
    "a package by its ARN": model("arn:aws:sagemaker:eu-west-1:123456789012:model-package/fraud/3"),
    "the original as it is": model(optimise="Off"),
    "a bucket with an underscore, as Google has them": model("s3://my_models/m.onnx"),
    "a cache": model(cache={"claim": "shared"}),
    "a cache with a size": model(cache={"claim": "shared.cache-1", "size": "50Gi"}),
    "a cache with a size in bytes": model(cache={"claim": "shared", "size": 1 << 30}),
    "signed": model(signature={"publicKey": PEM}),
    "signed, by a key with other ends of lines": model(signature={"publicKey": PEM.replace("\n", "\r\n")}),
}


def test_the_table_is_long_enough() -> None:
    assert len(BAD) >= 30


@pytest.mark.parametrize("case", BAD)
def test_a_bad_spec_is_refused_with_the_right_sentence(cluster: Cluster, case: str) -> None:
    check_refused(cluster, BAD[case])


@pytest.mark.parametrize("case", GOOD)
def test_a_good_spec_is_taken(cluster: Cluster, case: str) -> None:
    check_taken(cluster, GOOD[case])
