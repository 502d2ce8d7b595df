"""The Gateway API in the place of an own Envoy."""
