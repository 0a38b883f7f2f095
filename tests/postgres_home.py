"""Homes whose records are in PostgreSQL."""

import os

import pytest


@pytest.fixture(scope="session")
def database_url(postgres: str) -> str:
    """`FOUND_DATABASE_URL` for the server of the tests; skips where the drivers are not installed."""
    pytest.importorskip("dagster_postgres", reason="the extra `postgres` is not installed: pip install 'found-platform[postgres]'")
    return postgres.replace("postgresql+psycopg://", "postgresql://").replace(
        "${FOUND_TEST_PASSWORD}", os.environ["FOUND_TEST_PASSWORD"]
    )
