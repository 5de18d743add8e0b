"""Tags and notes of experiments, and runs that are deleted but can come back."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Bring the schema from the step before to this one."""
    tags = sa.Column("tags", sa.JSON(), nullable=False, server_default="[]")
    notes = sa.Column("notes", sa.String(), nullable=False, server_default="")
    op.add_column("experiments", tags)
    op.add_column("experiments", notes)
    op.add_column("runs", sa.Column("deleted_at", sa.DateTime(), nullable=True))
