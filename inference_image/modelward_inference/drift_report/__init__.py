"""`modelward drift report`: one HTML page that shows what drifted, with all it needs inside.

findings.py judges (the kernel does), inputs.py reads files, page.py and svg.py draw.
"""
