"""Read-only access to OCI registries: everything that touches their wire."""
