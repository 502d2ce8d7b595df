"""Where a browser shows a commit, and what is taken for none."""

import pytest

from modelward_cli.lineage.origin import commit_url

COMMIT = "5be0e9c1c5f8b6d0f2f1c0b2a79a4e3d6c8f7a11"


@pytest.mark.parametrize(
    ("repository", "url"),
    [
        ("https://github.com/acme/fraud.git", f"https://github.com/acme/fraud/commit/{COMMIT}"),
        ("https://github.com/acme/fraud/", f"https://github.com/acme/fraud/commit/{COMMIT}"),
        ("https://x-token:secret@github.com/acme/fraud", f"https://github.com/acme/fraud/commit/{COMMIT}"),
        ("git@github.com:acme/fraud.git", f"https://github.com/acme/fraud/commit/{COMMIT}"),
        ("ssh://git@gitlab.com/acme/ml/fraud.git", f"https://gitlab.com/acme/ml/fraud/-/commit/{COMMIT}"),
        ("https://gitlab.acme.io/ml/fraud", f"https://gitlab.acme.io/ml/fraud/-/commit/{COMMIT}"),
        ("https://bitbucket.org/acme/fraud", f"https://bitbucket.org/acme/fraud/commits/{COMMIT}"),
        ("https://git.example.com/fraud.git", None),
        ("https://github.com", None),
        ("https://[", None),
        ("javascript:alert(1)//github.com", None),
        ("https://github.com/a b", None),
        ("", None),
        (None, None),
    ],
)
def test_a_commits_page(repository: str | None, url: str | None) -> None:
    assert commit_url(repository, COMMIT) == url


@pytest.mark.parametrize("commit", ["", None, "main", "5be0e9", "../../../evil", COMMIT + "?"])
def test_what_is_no_commit_has_no_page(commit: str | None) -> None:
    assert commit_url("https://github.com/acme/fraud", commit) is None
