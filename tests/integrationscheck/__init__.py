"""`make check-integrations`: what goes into pipelines that teams have, end to end, as far as they run here."""
