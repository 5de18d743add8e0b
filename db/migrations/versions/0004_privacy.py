"""How much of a client's privacy is spent after a round."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Bring the schema from the step before to this one."""
    op.add_column("rounds", sa.Column("epsilon", sa.Double(), nullable=True))
