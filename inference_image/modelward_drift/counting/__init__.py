"""From values to counts by cell, exact over pods and windows."""
