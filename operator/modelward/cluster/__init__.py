"""Access to the API server and to router pods: every read, watch and write goes through here."""
