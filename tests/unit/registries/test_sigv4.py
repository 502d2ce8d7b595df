"""Our signature is botocore's."""

import datetime
from typing import Any

import pytest
from botocore import auth, awsrequest, credentials
from yarl import URL

from modelward.registries.sigv4 import Keys, sign

HEADERS = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "SageMaker.ListModelPackages"}
NOW = 1795971613.0


@pytest.mark.parametrize("url", ["https://api.sagemaker.eu-west-1.amazonaws.com/", "http://127.0.0.1:5000/"])
@pytest.mark.parametrize("token", [None, "a+b/c=="])
@pytest.mark.parametrize("body", [b"{}", b'{"ModelPackageGroupName": "fraud"}'])
def test_it_is_botocores(monkeypatch: pytest.MonkeyPatch, url: str, token: str | None, body: bytes) -> None:
    moment = datetime.datetime.fromtimestamp(NOW, datetime.UTC)
    monkeypatch.setattr(auth, "get_current_datetime", lambda **_: moment.replace(tzinfo=None))
    request: Any = awsrequest.AWSRequest("POST", url, headers=dict(HEADERS), data=body)
    auth.SigV4Auth(credentials.Credentials("AKID", "s3cret", token), "sagemaker", "eu-west-1").add_auth(request)
    ours = sign(Keys("AKID", "s3cret", token), URL(url), HEADERS, body, "eu-west-1", "sagemaker", NOW)
    assert ours["x-amz-date"] == request.headers["X-Amz-Date"]
    assert ours["authorization"] == request.headers["Authorization"]
