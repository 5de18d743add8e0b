"""Connections: one SQLAlchemy engine per address, migrated to the newest step on first use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from filelock import FileLock
from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.orm import Session

from engine.paths import BadEnvironment, home

_VARIABLE = "FEDVLM_DATABASE_URL"
MIGRATIONS = Path(__file__).parent / "migrations"
# Steps are named 0001_…, 0002_…: the newest file name tells the newest revision without alembic.
HEAD = max(step.name[:4] for step in (MIGRATIONS / "versions").glob("[0-9]*.py"))


class DatabaseTooNew(RuntimeError):
    """A newer version of the lab has written this database."""


def database_url() -> URL:
    """Return ``FEDVLM_DATABASE_URL``, or the address of the SQLite file in FEDVLM_HOME.

    Raises BadEnvironment where it is none.
    """
    address = os.environ.get(_VARIABLE)
    if not address:
        return URL.create("sqlite", database=str(home() / "fedvlm.db"))
    try:
        url = make_url(address)
    except (ArgumentError, ValueError):
        raise BadEnvironment(
            f"{_VARIABLE}: this is no address of a database; allowed: sqlite:////FOLDER/FILE or "
            "postgresql+DRIVER://USER:PASSWORD@HOST/NAME"
        ) from None
    if url.get_backend_name() == "sqlite":
        if url.database in (None, "", ":memory:"):
            raise BadEnvironment(f"{_VARIABLE}: {address} is no file, which the worker could share")
        if not url.database.startswith("file:"):
            # The worker, which inherits this, starts in another folder.
            url = url.set(database=str(Path(url.database).absolute()))
            os.environ[_VARIABLE] = url.render_as_string(hide_password=False)
    return url


def is_file() -> bool:
    """Tell whether the database is a file, which only processes of this machine open."""
    return database_url().get_backend_name() == "sqlite"


@contextmanager
def writing() -> Iterator[Session]:
    """Open a session in one short transaction: committed at the end, or rolled back."""
    with Session(_engine(database_url()), expire_on_commit=False) as session, session.begin():
        yield session


@contextmanager
def reading() -> Iterator[Session]:
    """Open a session that cannot write; its objects may be used after it is closed."""
    url = database_url()
    _engine(url)  # migrates
    with Session(_engine(url, read_only=True), expire_on_commit=False) as session:
        yield session


@lru_cache(maxsize=16)
def _engine(url: URL, read_only: bool = False) -> Engine:
    try:
        return _connected(url, read_only)
    except ImportError as error:
        raise BadEnvironment(
            f"{_VARIABLE}: what is needed for {url.drivername} is not installed ({error})"
        ) from None
    except (NoSuchModuleError, DBAPIError) as error:
        reason = " ".join(str(getattr(error, "orig", None) or error).split())
        place = _VARIABLE if os.environ.get(_VARIABLE) else "FEDVLM_HOME"
        raise BadEnvironment(
            f"{place}: the database {url} cannot be opened ({reason[:200]})"
        ) from None


def _connected(url: URL, read_only: bool) -> Engine:
    engine = create_engine(url)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _read_pragmas if read_only else _write_pragmas)
        if not read_only:
            event.listen(engine, "begin", _begin_immediate)
    if not read_only:
        migrate(engine)
    return engine


def _read_pragmas(connection: DBAPIConnection, _record: object) -> None:
    connection.execute("PRAGMA busy_timeout = 10000")
    connection.execute("PRAGMA query_only = ON")


def _write_pragmas(connection: DBAPIConnection, _record: object) -> None:
    connection.isolation_level = None  # SQLAlchemy begins, see _begin_immediate
    connection.execute("PRAGMA busy_timeout = 10000")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA foreign_keys = ON")


def _begin_immediate(connection: Connection) -> None:
    # A transaction that reads first and writes later fails when another writer came between, and no
    # timeout helps: take the write lock at once.
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def migrate(engine: Engine) -> None:
    """Bring the schema to HEAD, one process at a time; nothing to do when it is there.

    Raises DatabaseTooNew.
    """
    revision = _revision(engine)
    if revision == HEAD:
        return
    if revision is not None and revision > HEAD:
        raise DatabaseTooNew(
            f"the database in {home()} is of a newer lab (step {revision}; this one knows {HEAD}): "
            "update the lab, or give it another FEDVLM_HOME"
        )
    with FileLock(home() / "migrate.lock"):
        if _revision(engine) == HEAD:
            return
        from alembic import command
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")


def _revision(engine: Engine) -> str | None:
    if not inspect(engine).has_table("alembic_version"):
        return None
    with engine.connect() as connection:
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
