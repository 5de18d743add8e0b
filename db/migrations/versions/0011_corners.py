"""Which corner a client chose after a round, with the strategies that ask it to."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Bring the schema from the step before to this one."""
    column = sa.Column("corner", sa.String(10), nullable=False, server_default="")
    op.add_column("evaluations", column)
