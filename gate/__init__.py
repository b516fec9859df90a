"""gate: a signature gate for GitOps sync sources."""

__version__ = "0.1.0"
