"""How the operator and the pods of its models know each other; both images have it, and it knows neither.

Keys agree on a secret of each pair (keys), which signs requests and answers (messages); verifier and guard are the
pod's side. Only the standard library: a model's process gets no cryptographic library for four requests a minute.
"""
