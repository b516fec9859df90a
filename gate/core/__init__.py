"""The verification engine: pure functions over frozen values. No I/O, clock, environment, logging or globals."""
