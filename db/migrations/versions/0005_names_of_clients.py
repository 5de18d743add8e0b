"""What a client is called in the data that people bring."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Bring the schema from the step before to this one."""
    op.add_column("clients", sa.Column("name", sa.String(80), nullable=False, server_default=""))
