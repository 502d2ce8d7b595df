"""The sequential tests behind the gates. Pure."""
