"""How far an experiment may go before somebody says so: pause and step."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Bring the schema from the step before to this one."""
    op.add_column("experiments", sa.Column("round_limit", sa.Integer(), nullable=True))
