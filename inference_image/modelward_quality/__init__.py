"""What a model is worth, once outcomes are known: sums that merge exactly, and the values and intervals made of them.

numpy and nothing of ours: the evaluator makes the sums beside the data, the operator turns them into values.
Invariant: a statistic of a whole is the merge of those of its parts, in any order. Values are those of scikit-learn and
fairlearn on the same rows; where they are not defined (no positive row, say) there is none, never a 0 in its place.
"""
