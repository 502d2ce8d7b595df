"""The status page: what the cluster's objects say, as one page of HTML that a browser on this machine shows."""
