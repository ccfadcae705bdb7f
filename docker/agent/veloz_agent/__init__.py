"""The agent that is process 1 of VeloZ's PostgreSQL and PgBouncer containers (see docs/agent-protocol.md)."""
