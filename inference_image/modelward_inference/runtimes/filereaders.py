"""Estimators from files that nobody vouches for, which would read the server's own files.

scikit-learn's vectorizers open what a row names where `input` says so: whoever made the file, and any client, could
learn what stands in the files of the server. Rows are their own content here, always.
"""

import sys
from typing import Any

from modelward_inference.runtimes import rawtrees

_MODULE = "sklearn.feature_extraction.text"


def named(estimator: Any) -> str | None:
    """The class of what would read files in the estimator, None where there is no such thing."""
    module = sys.modules.get(_MODULE)
    if module is None:
        return None  # and so no object of its classes
    for found in rawtrees.objects(estimator):
        if isinstance(found, module.CountVectorizer | module.HashingVectorizer):
            given = getattr(found, "input", None)
            if type(given) is not str or given != "content":
                return type(found).__name__
    return None
